"""How true graphs of a model's own neurons are: pairs of prompts, neurons patched, all measured.

The neurons of one prompt are given the activations that they have in another, in the model as it
is. Methods that choose neurons are compared by the share of the answer's change that is then left.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

import circuitscope_core as cs
from circuitscope_core.attribution.contrast import Contrast, align
from circuitscope_core.attribution.neuron_choice import NeuronEffects, measure_effects
from circuitscope_core.attribution.targets import select_targets
from circuitscope_core.config import AttributionConfig
from circuitscope_core.interventions.patched_neurons import patches
from circuitscope_core.prompt_pass import PromptPass

SIZES = (10, 30, 100, 300)
N_SINGLE = 40
"""Neurons that are patched alone in each pair: half of them the strongest, half drawn by chance."""
STEPS = 8
"""Points between the two prompts at which integrated gradients take the slope."""
PAIRS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "capitals": (
        ("The capital of France is", "The capital of Japan is", " Paris", " Tokyo"),
        ("The capital of Italy is", "The capital of Russia is", " Rome", " Moscow"),
        ("The capital of Germany is", "The capital of Spain is", " Berlin", " Madrid"),
        ("The capital of Egypt is", "The capital of Greece is", " Cairo", " Athens"),
        ("The capital of England is", "The capital of China is", " London", " Beijing"),
    ),
    "opposites": (
        ("The opposite of hot is", "The opposite of big is", " cold", " small"),
        ("The opposite of up is", "The opposite of left is", " down", " right"),
        ("The opposite of good is", "The opposite of fast is", " bad", " slow"),
        ("The opposite of dark is", "The opposite of old is", " light", " young"),
    ),
    "agreement": (
        ("The keys to the cabinet", "The key to the cabinet", " are", " is"),
        ("The boys near the car", "The boy near the car", " are", " is"),
        ("The teachers near the door", "The teacher near the door", " are", " is"),
        ("The books on the table", "The book on the table", " are", " is"),
        ("The dogs in the garden", "The dog in the garden", " are", " is"),
        ("The pictures on the wall", "The picture on the wall", " are", " is"),
    ),
    "indirect objects": (
        (
            "When Mary and John went to the store, John gave a drink to",
            "When Mary and John went to the store, Mary gave a drink to",
            " Mary",
            " John",
        ),
        (
            "Then Anna and Peter had a long talk, and Peter said to",
            "Then Anna and Peter had a long talk, and Anna said to",
            " Anna",
            " Peter",
        ),
        (
            "After Tom and Sarah sat down to eat, Sarah handed the bread to",
            "After Tom and Sarah sat down to eat, Tom handed the bread to",
            " Tom",
            " Sarah",
        ),
    ),
    "lists": (
        ("Monday, Tuesday, Wednesday,", "Thursday, Friday, Saturday,", " Thursday", " Sunday"),
        ("January, February, March,", "June, July, August,", " April", " September"),
        ("one, two, three,", "six, seven, eight,", " four", " nine"),
    ),
    "copying": (
        (
            "lamp river seven cloud, lamp river seven",
            "lamp river seven table, lamp river seven",
            " cloud",
            " table",
        ),
        (
            "The code is red blue green. The code is red blue",
            "The code is red blue white. The code is red blue",
            " green",
            " white",
        ),
        (
            "house tree bird stone, house tree bird",
            "house tree bird water, house tree bird",
            " stone",
            " water",
        ),
    ),
}
"""First prompt, second prompt, and the answer of each."""


class Pair:
    """A pair of prompts: both passes, what is explained, and its value in any pass."""

    def __init__(self, bundle: cs.Bundle, prompts: tuple[str, str, str, str]) -> None:
        text, other, answer, instead = prompts
        self.clean = cs.run_prompt(bundle, text)
        self.contrast: Contrast = align(self.clean, cs.run_prompt(bundle, other))
        target = cs.TokenDifference(answer, instead)
        self.targets = select_targets(self.clean, [target], AttributionConfig())
        ids = [bundle.tokenizer.encode(token) for token in (answer, instead)]
        assert all(len(item) == 1 for item in ids), f"{answer!r} or {instead!r} is no single token"
        self.token, self.minus = ids[0][0], ids[1][0]
        self.effects: NeuronEffects = measure_effects(self.clean, self.targets, self.contrast)

    def value(self, logits: Tensor) -> Tensor:
        """Return the answer's logit less that of the other prompt's answer."""
        return logits[..., self.token] - logits[..., self.minus]

    @property
    def ends(self) -> tuple[float, float]:
        """The value after each prompt."""
        return float(self.value(self.clean.logits)), float(self.value(self.contrast.other.logits))

    def left(self, sets: list[Tensor]) -> list[float]:
        """Return the share of the difference that is left with each set of neurons patched."""
        first, other = self.ends
        changes = [patches(self.contrast, nodes) for nodes in sets]
        logits = cs.intervene_many(self.clean, (), changes, mode="iterative").logits_after
        return ((self.value(logits) - other) / (first - other)).tolist()

    def by_slope(self, clean: PromptPass, alpha: float = 1.0) -> Tensor:
        """Return every neuron's slope in the real model, ``[n_layers, n_pos, n_neurons]``.

        ``alpha`` is where it is taken between the other prompt's embeddings, 0, and these, 1.
        """
        model = clean.replacement.model
        outputs = torch.zeros_like(clean.error_vectors, requires_grad=True)
        there = self.contrast.other.record.token_vectors[:, self.contrast.positions]
        change = (alpha - 1) * (clean.record.token_vectors - there)
        with torch.enable_grad():
            record = model.record(
                clean.record.token_ids,
                edit_mlp=lambda call: call.mlp_out() + outputs[call.layer],
                embed_change=change,
            )
            slope = torch.autograd.grad(self.value(record.logits[0, -1]), outputs)[0]
        with torch.no_grad():
            return torch.stack([at @ model.neurons(n).W_out.T.to(at) for n, at in enumerate(slope)])


def methods(pair: Pair, seed: int) -> dict[str, Tensor]:
    """Return every neuron's effect by each method."""
    linear = pair.effects.linear
    acts = torch.stack([layer.activations for layer in linear])
    more = acts - pair.contrast.activations(acts)
    more[:, : pair.clean.explained.start] = 0
    slopes = [(step + 0.5) / STEPS for step in range(STEPS)]
    integrated = sum(pair.by_slope(pair.clean, alpha) for alpha in slopes) / STEPS
    random = torch.rand(more.shape, generator=torch.Generator().manual_seed(seed))
    return {
        "graph": pair.effects.effects,
        "gradient": pair.by_slope(pair.clean) * more,
        "integrated gradients": integrated * more,
        "random": random * (more != 0),
    }


def strongest(effects: Tensor, n: int) -> Tensor:
    """Return layer, position and number of the neurons with the largest effects."""
    flat = effects.flatten().topk(n).indices
    return torch.stack(torch.unravel_index(flat, effects.shape), dim=1)


def spearman(x: Tensor, y: Tensor) -> float:
    """Return the correlation of ranks."""
    ranks = torch.stack([x.argsort().argsort(), y.argsort().argsort()]).double()
    return float(torch.corrcoef(ranks)[0, 1])


def single(pair: Pair, found: Mapping[str, Tensor], seed: int) -> dict[str, float]:
    """Return how well single effects are predicted, as correlations of ranks."""
    best = strongest(found["graph"], 300)
    generator = torch.Generator().manual_seed(seed)
    half = N_SINGLE // 2
    some = half + torch.randperm(len(best) - half, generator=generator)[:half]
    nodes = torch.cat([best[:half], best[some]])
    left = torch.tensor(pair.left([node[None] for node in nodes]))
    return {
        name: spearman(found[name][tuple(nodes.T)], 1 - left)
        for name in ("graph", "gradient", "integrated gradients")
    }


def held_out(pairs: list[Pair]) -> dict[str, list[float]]:
    """Return what is left in each pair with neurons patched that the others chose.

    Neurons are chosen by layer and number, their effects added up over positions, and patched at
    all positions of the pair that had no say.
    """
    sums = [pair.effects.effects.sum(dim=1) for pair in pairs]
    found: dict[str, list[float]] = {}
    for number, pair in enumerate(pairs):
        others = sum(own for place, own in enumerate(sums) if place != number)
        for name, score in (("chosen on the others", others), ("on itself", sums[number])):
            sets = []
            for n in SIZES:
                layers, numbers = torch.unravel_index(score.flatten().topk(n).indices, score.shape)
                every = torch.arange(pair.clean.explained.start, pair.clean.n_pos)
                sets.append(
                    torch.stack(
                        [
                            layers.repeat_interleave(len(every)),
                            every.repeat(n),
                            numbers.repeat_interleave(len(every)),
                        ],
                        dim=1,
                    )
                )
            for n, left in zip(SIZES, pair.left(sets), strict=True):
                found.setdefault(f"{name}, {n}", []).append(left)
    return found


def report(title: str, rows: Mapping[str, list[float]], worst_of: Callable = max) -> None:
    """Print the median and the worst of each row."""
    print(title)
    for name, values in rows.items():
        median, worst = statistics.median(values), worst_of(values)
        print(f"  {name:36s} median {median:6.2f}   worst {worst:6.2f}   of {len(values)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of SmolLM2-135M-Instruct")
    parser.add_argument("--check", action="store_true", help="only say which pairs hold")
    options = parser.parse_args()
    bundle = cs.make_bundle(cs.load_model(options.model))
    left: dict[str, list[float]] = {}
    predicted: dict[str, list[float]] = {}
    started, n_pairs, agreement = time.perf_counter(), 0, []
    for task, all_prompts in PAIRS.items():
        by_task: dict[str, list[float]] = {}
        for prompts in all_prompts:
            pair = Pair(bundle, prompts)
            first, other = pair.ends
            holds = first > 0 > other
            print(f"{prompts[0]!r}: {first:+.2f}, other {other:+.2f}", "" if holds else "FAILS")
            if not holds or options.check:
                continue
            n_pairs += 1
            found = methods(pair, n_pairs)
            for name, effects in found.items():
                shares = pair.left([strongest(effects, n) for n in SIZES])
                for n, share in zip(SIZES, shares, strict=True):
                    left.setdefault(f"{name}, {n}", []).append(share)
                    by_task.setdefault(f"{name}, {n}", []).append(share)
            for name, value in single(pair, found, n_pairs).items():
                predicted.setdefault(name, []).append(value)
            if task == "agreement":
                agreement.append(pair)
        if by_task:
            report(
                f"{task}: share of the change left",
                {k: v for k, v in by_task.items() if k.startswith("graph")},
            )
    if options.check:
        return
    report(f"all {n_pairs} pairs: share of the change left", left)
    report("single neurons: Spearman of predicted and measured", predicted, min)
    report("agreement, held out: share of the change left", held_out(agreement))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
