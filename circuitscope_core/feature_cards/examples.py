"""Text on which features fire: found in one pass, cut out in the next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from circuitscope_core.config import FeatureCardConfig
from circuitscope_core.feature_cards.cards import EXAMPLE_KINDS, Example
from circuitscope_core.feature_cards.passes import NO_TOKEN, LayerActivations, State
from circuitscope_core.feature_cards.selection import Selection

CANDIDATES_PER_EXAMPLE = 3
"""More are kept than shown, since the same passage often comes twice."""
SAME_PASSAGE = 10
"""Tokens on both sides of the peak in which two examples of one passage agree."""


@dataclass(frozen=True)
class ExampleText:
    """Windows to take examples from, and where each token's text is from."""

    token_ids: Int[Tensor, "n n_pos"]
    source_ids: NDArray[np.integer]
    """Index into ``sources`` for every token, ``[n, n_pos]``."""
    sources: tuple[str, ...]
    n_opening: int = 1
    """Positions at the start of each window that hold the separator and no text."""


@dataclass(frozen=True)
class _Peaks:
    """The kept windows of every feature, best first: ``[n_rows, k]`` each."""

    keys: Float[Tensor, "n_rows k"]
    values: Float[Tensor, "n_rows k"]
    windows: Int[Tensor, "n_rows k"]
    positions: Int[Tensor, "n_rows k"]

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> "_Peaks":
        whole = torch.zeros(shape, device="cpu", dtype=torch.int64)
        return cls(
            torch.zeros(shape, device="cpu", dtype=torch.float32),
            torch.zeros(shape, device="cpu", dtype=torch.float32),
            whole,
            whole.clone(),
        )

    def merge(self, rows: slice, keys: Tensor, values: Tensor, windows: Tensor, at: Tensor) -> None:
        """Keep the best keys of the old and a batch's ``[n, batch]`` new windows."""
        every = torch.cat([self.keys[rows], keys], dim=1)
        best, index = every.topk(self.keys.shape[1], dim=1)
        self.keys[rows] = best
        pairs = ((self.values, values), (self.windows, windows), (self.positions, at))
        for kept, new in pairs:
            kept[rows] = torch.cat([kept[rows], new], dim=1).gather(1, index)


@dataclass(frozen=True)
class Choice:
    """One example to cut out."""

    layer: int
    feature: int
    """Counted among the selected features of the layer."""
    kind: str
    window: int
    position: int


Examples = dict[tuple[int, int], list[Example]]
"""Examples by layer and number of the feature."""


class Candidates:
    """Each feature's strongest windows, and windows drawn at random from all on which it fires.

    One example of a feature is taken from a window at most, at its strongest token there.
    """

    def __init__(self, selection: Selection, config: FeatureCardConfig, seed: int) -> None:
        self.selection, self.config = selection, config
        self.generator = torch.Generator(device="cpu").manual_seed(seed)
        n_rows = selection.n_rows
        self.top = _Peaks.empty((n_rows, CANDIDATES_PER_EXAMPLE * config.n_top_examples))
        self.drawn = _Peaks.empty((n_rows, 8 * config.n_interval_examples))

    def see(self, active: LayerActivations) -> None:
        """Take in one layer's activations on the next windows."""
        rows = self.selection.rows(active.layer)
        values, at = (torch.from_numpy(np.ascontiguousarray(found)) for found in active.peaks())
        windows = (active.first_window + torch.arange(values.shape[1])).expand_as(at)
        self.top.merge(rows, values, values, windows, at)
        lottery = torch.rand(values.shape, generator=self.generator, dtype=torch.float32) * (
            values > 0
        )
        self.drawn.merge(rows, lottery, values, windows, at)

    def state(self) -> State:
        """Return everything that was learned."""
        peaks = {"top": self.top, "drawn": self.drawn}
        parts = {f"{name}.{key}": kept for name in peaks for key, kept in vars(peaks[name]).items()}
        return {**parts, "generator": self.generator.get_state()}

    def restore(self, state: State) -> None:
        """Go on from what was learned before."""
        self.generator.set_state(state["generator"])
        for name, kept in self.state().items():
            if name != "generator":
                kept.copy_(state[name])

    def choose(self, token_ids: Int[Tensor, "n n_pos"]) -> Iterator[Choice]:
        """Yield each feature's examples: as many of each kind as wanted, no passage twice."""
        text = token_ids.numpy()
        for layer, features in enumerate(self.selection.features):
            for feature in range(len(features)):
                yield from drop_repeats(self._rank(layer, feature), text, self.config)

    def _rank(self, layer: int, feature: int) -> list[Choice]:
        """Return a feature's candidates, strongest first of each kind."""
        row = self.selection.starts[layer] + feature
        maximum = float(self.top.values[row, 0])
        ranked: dict[str, list[tuple[float, Choice]]] = {kind: [] for kind in EXAMPLE_KINDS}
        for peaks in (self.top, self.drawn):
            columns = (peaks.values, peaks.windows, peaks.positions)
            rows = zip(*(column[row].tolist() for column in columns), strict=True)
            for value, window, position in rows:
                kind = "top" if peaks is self.top else _third(value, maximum)
                if value > 0 and kind:
                    choice = Choice(layer, feature, kind, window, position)
                    ranked[kind].append((value, choice))
        return [
            choice
            for found in ranked.values()
            for _, choice in sorted(found, key=lambda pair: -pair[0])
        ]


def _third(value: float, maximum: float) -> str:
    """Name the third of the range; empty for the highest, which the top examples cover."""
    if value > 2 / 3 * maximum:
        return ""
    return "middle" if value > 1 / 3 * maximum else "low"


def drop_repeats(
    ranked: Sequence[Choice], text: NDArray[np.integer], config: FeatureCardConfig
) -> list[Choice]:
    """Keep one choice of a passage, and as many of each kind as the config says."""
    room = dict.fromkeys(EXAMPLE_KINDS, config.n_interval_examples)
    room["top"] = config.n_top_examples
    seen: set[bytes] = set()
    kept = []
    for choice in ranked:
        if room[choice.kind]:
            start = max(1, choice.position - SAME_PASSAGE)
            passage = text[choice.window, start : choice.position + SAME_PASSAGE + 1].tobytes()
            if passage not in seen:
                seen.add(passage)
                room[choice.kind] -= 1
                kept.append(choice)
    return kept


@dataclass
class CutOut:
    """Cuts the chosen examples out of the text, with the feature's activations."""

    text: ExampleText
    choices: Sequence[Choice]
    selection: Selection
    config: FeatureCardConfig
    found: NDArray[np.float32] = field(init=False)
    """The activations around each peak, ``[n_choices, 2 context + 1]``."""

    def __post_init__(self) -> None:
        self.found = np.zeros((len(self.choices), 2 * self.config.context + 1), dtype=np.float32)
        order = sorted(
            range(len(self.choices)),
            key=lambda n: (self.choices[n].layer, self.choices[n].window),
        )
        places = [(self.choices[n].layer, self.choices[n].window) for n in order]
        self._order = np.array(order, dtype=np.int64)
        n_windows = len(self.text.token_ids)
        self._places = np.array([layer * n_windows + window for layer, window in places])

    def see(self, active: LayerActivations) -> None:
        """Cut out what was chosen in one layer of the next windows."""
        first = active.layer * len(self.text.token_ids) + active.first_window
        begin, end = np.searchsorted(self._places, [first, first + active.shape[0]])
        numbers = self._order[begin:end].tolist()
        choices = [self.choices[number] for number in numbers]
        width = active.shape[2]
        wanted = [(c.window - active.first_window) * width + c.feature for c in choices]
        starts = np.searchsorted(active.keys, wanted, side="left")
        ends = np.searchsorted(active.keys, wanted, side="right")
        context = self.config.context
        for number, choice, start, stop in zip(numbers, choices, starts, ends, strict=True):
            offsets = active.positions[start:stop] - choice.position + context
            near = (offsets >= 0) & (offsets <= 2 * context)
            self.found[number, offsets[near]] = active.values[start:stop][near]

    def state(self) -> State:
        """Return everything that was learned."""
        return {"found": torch.from_numpy(self.found)}

    def restore(self, state: State) -> None:
        """Go on from what was learned before."""
        self.found[:] = state["found"].numpy()

    def _example(self, choice: Choice, acts: NDArray[np.float32]) -> Example:
        text, context = self.text, self.config.context
        low = max(text.n_opening, choice.position - context)
        row = text.token_ids[choice.window, low : choice.position + context + 1]
        tokens = row[row != NO_TOKEN].tolist()
        begin = low - choice.position + context
        near = acts[begin : begin + len(tokens)].tolist()
        rounded = tuple(float(f"{act:.4g}") if act else 0.0 for act in near)
        source = text.sources[int(text.source_ids[choice.window, choice.position])]
        return Example(choice.kind, source, tuple(tokens), rounded, choice.position - low)

    def examples(self) -> Examples:
        """Return each feature's examples in the order in which they were chosen."""
        examples: Examples = {}
        for choice, acts in zip(self.choices, self.found, strict=True):
            number = int(self.selection.features[choice.layer][choice.feature])
            examples.setdefault((choice.layer, number), []).append(self._example(choice, acts))
        return examples
