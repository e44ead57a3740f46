"""Text on which features fire: found in one streaming pass, cut out in a second."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from circuitscope_core.config import FeatureCardConfig
from circuitscope_core.feature_cards.cards import Example
from circuitscope_core.feature_cards.statistics import BATCH_WINDOWS, layer_activations
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import Transformer

CANDIDATES_PER_EXAMPLE = 3
"""More are kept than shown, since the same passage often comes twice."""
SAME_PASSAGE = 10
"""Examples that agree in so many tokens on both sides of the peak are one passage."""


@dataclass(frozen=True)
class ExampleText:
    """Windows to take examples from, and where each token's text is from."""

    token_ids: Int[Tensor, "n n_pos"]
    source_ids: NDArray[np.integer]
    """Index into ``sources`` for every token, ``[n, n_pos]``."""
    sources: tuple[str, ...]


@dataclass(frozen=True)
class _Peaks:
    """The kept windows of every feature, best first: ``[n_layers, d_transcoder, k]`` each."""

    keys: Float[Tensor, "n_layers d_transcoder k"]
    values: Float[Tensor, "n_layers d_transcoder k"]
    windows: Int[Tensor, "n_layers d_transcoder k"]
    positions: Int[Tensor, "n_layers d_transcoder k"]

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> "_Peaks":
        whole = torch.zeros(shape, dtype=torch.int64)
        return cls(torch.zeros(shape), torch.zeros(shape), whole, whole.clone())

    def merge(self, layer: int, keys: Tensor, values: Tensor, windows: Tensor, at: Tensor) -> None:
        """Keep the best keys of the old and a batch's ``[d_transcoder, batch]`` new windows."""
        every = torch.cat([self.keys[layer], keys], dim=1)
        best, index = every.topk(self.keys.shape[2], dim=1)
        self.keys[layer] = best
        pairs = ((self.values, values), (self.windows, windows), (self.positions, at))
        for kept, new in pairs:
            kept[layer] = torch.cat([kept[layer], new], dim=1).gather(1, index)


@dataclass(frozen=True)
class _Choice:
    """One example to cut out."""

    layer: int
    feature: int
    kind: str
    window: int
    position: int


Examples = dict[tuple[int, int], list[Example]]


def find_examples(
    model: Transformer,
    transcoder: CrossLayerTranscoder,
    text: ExampleText,
    config: FeatureCardConfig,
    seed: int,
) -> Iterator[Examples | float]:
    """Find each feature's examples; yields the share done, and at last the examples.

    One example of a feature is taken from a window at most, at its strongest token there.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (transcoder.config.n_layers, transcoder.config.d_transcoder)
    top = _Peaks.empty((*shape, CANDIDATES_PER_EXAMPLE * config.n_top_examples))
    drawn = _Peaks.empty((*shape, 8 * config.n_interval_examples))
    batches = text.token_ids.split(BATCH_WINDOWS)
    for number, batch in enumerate(batches):
        windows = (number * BATCH_WINDOWS + torch.arange(len(batch))).expand(shape[1], -1)
        for layer, acts in enumerate(layer_activations(model, transcoder, batch)):
            values, at = (found.T for found in acts.max(dim=1))
            top.merge(layer, values, values, windows, at)
            lottery = torch.rand(values.shape, generator=generator) * (values > 0)
            drawn.merge(layer, lottery, values, windows, at)
        yield 0.6 * (number + 1) / len(batches)
    choices = [choice for layer in range(shape[0]) for choice in choose(top, drawn, layer, config)]
    found: Examples = {}
    for share in cut_out(model, transcoder, text, choices, config, found):
        yield 0.6 + 0.4 * share
    yield {key: drop_repeats(examples, config) for key, examples in found.items()}


def choose(top: _Peaks, drawn: _Peaks, layer: int, config: FeatureCardConfig) -> Iterator[_Choice]:
    """Yield a layer's candidates: the strongest, then draws from the middle and lowest third."""
    for feature in range(top.values.shape[1]):
        maximum = float(top.values[layer, feature, 0])
        for peaks in (top, drawn):
            rows = zip(
                peaks.values[layer, feature].tolist(),
                peaks.windows[layer, feature].tolist(),
                peaks.positions[layer, feature].tolist(),
                strict=True,
            )
            taken = {"top": 0, "middle": 0, "low": 0}
            for value, window, position in rows:
                kind = "top" if peaks is top else _third(value, maximum)
                wanted = (
                    CANDIDATES_PER_EXAMPLE * config.n_top_examples
                    if peaks is top
                    else config.n_interval_examples
                )
                if value <= 0 or not kind or taken[kind] >= wanted:
                    continue
                taken[kind] += 1
                yield _Choice(layer, feature, kind, window, position)


def _third(value: float, maximum: float) -> str:
    """Name the third of the range; empty for the highest, which the top examples cover."""
    if value > 2 / 3 * maximum:
        return ""
    return "middle" if value > 1 / 3 * maximum else "low"


def cut_out(
    model: Transformer,
    transcoder: CrossLayerTranscoder,
    text: ExampleText,
    choices: list[_Choice],
    config: FeatureCardConfig,
    found: Examples,
) -> Iterator[float]:
    """Run the chosen windows again and add their examples to ``found``; yields the share done."""
    by_window: dict[int, list[_Choice]] = {}
    for choice in choices:
        by_window.setdefault(choice.window, []).append(choice)
    windows = sorted(by_window)
    for start in range(0, len(windows), BATCH_WINDOWS):
        batch = windows[start : start + BATCH_WINDOWS]
        layers = [
            acts.numpy() for acts in layer_activations(model, transcoder, text.token_ids[batch])
        ]
        for row, window in enumerate(batch):
            for choice in by_window[window]:
                acts = layers[choice.layer][row, :, choice.feature]
                key = (choice.layer, choice.feature)
                found.setdefault(key, []).append(_example(text, choice, acts, config.context))
        yield (start + len(batch)) / len(windows)


def _example(
    text: ExampleText, choice: _Choice, acts: NDArray[np.float32], context: int
) -> Example:
    low = max(1, choice.position - context)  # position 0 is the separator of every window
    high = choice.position + context + 1
    tokens = text.token_ids[choice.window, low:high].tolist()
    rounded = tuple(float(f"{value:.4g}") for value in acts[low:high].tolist())
    source = text.sources[int(text.source_ids[choice.window, choice.position])]
    return Example(choice.kind, source, tuple(tokens), rounded, choice.position - low)


def drop_repeats(examples: list[Example], config: FeatureCardConfig) -> list[Example]:
    """Keep one example of a passage and as many of each kind as the config says."""
    wanted = {"top": config.n_top_examples}
    strongest = sorted(examples, key=lambda item: -item.activations[item.peak])
    seen: set[tuple[int, ...]] = set()
    kept: dict[str, list[Example]] = {"top": [], "middle": [], "low": []}
    for example in strongest:
        start = max(0, example.peak - SAME_PASSAGE)
        passage = example.token_ids[start : example.peak + SAME_PASSAGE + 1]
        room = len(kept[example.kind]) < wanted.get(example.kind, config.n_interval_examples)
        if passage not in seen and room:
            seen.add(passage)
            kept[example.kind].append(example)
    return [*kept["top"], *kept["middle"], *kept["low"]]
