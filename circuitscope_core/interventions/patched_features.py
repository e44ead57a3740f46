"""A transcoder's features, given the activations of another prompt of as many tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions.changes import Change, TokenIntervention, deltas_of
from circuitscope_core.interventions.curve import Asked, PatchedRest
from circuitscope_core.interventions.patch_sets import Patching, changes_to
from circuitscope_core.interventions.runs import run_iterative
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.tokenizer import output_name
from circuitscope_core.values import one_line

DIFFERENT = 1e-4
"""Share of an activation from which on a difference of two prompts is more than rounding."""


@one_line
@dataclass(frozen=True)
class FeatureEffects:
    """Features, and what a graph says that they do to its answer over all paths."""

    places: Int[Tensor, "n 3"]
    effects: Float[Tensor, " n"]
    """The loss of the answer without each feature."""

    def on(self, device: torch.device) -> "FeatureEffects":
        """Return the same on a device: a graph is a value of the host's."""
        return FeatureEffects(self.places.to(device), self.effects.to(device))


@one_line
@dataclass(frozen=True)
class PromptPair:
    """Two prompts whose positions stand for each other.

    Raises:
        GraphError: If they do not have equally many tokens.
    """

    clean: PromptPass
    other: PromptPass

    def __post_init__(self) -> None:
        own, other = self.clean.n_pos, self.other.n_pos
        if own != other:
            raise GraphError(
                f"The prompt has {own} tokens and the second prompt {other}. Each position of one "
                "must stand for the same of the other: put words of as many tokens in the place of "
                "those that differ."
            )

    def activations_of(self, clean: PromptPass, places: Int[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Return activations in one of the two passes; 0 of features that are silent there."""
        known, wanted = self._keys(clean.features), self._keys(places)
        if not len(known):
            return clean.activations.new_zeros(len(places))
        at = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
        found: Tensor = clean.activations[at] * (known[at] == wanted)
        return found

    def _keys(self, places: Int[Tensor, "n 3"]) -> Int[Tensor, " n"]:
        """Return one number for each feature at a position, rising in the order of graphs."""
        layers, positions, numbers = places.T
        n_features = self.clean.replacement.transcoder.shape.n_features
        keys: Tensor = (layers * self.clean.n_pos + positions) * n_features + numbers
        return keys

    def differ(self, places: Int[Tensor, "n 3"]) -> Tensor:
        """Return which features have another activation in the second prompt, ``[n]``."""
        own, other = (self.activations_of(each, places) for each in (self.clean, self.other))
        found: Tensor = (own - other).abs() > DIFFERENT * torch.maximum(own.abs(), other.abs())
        return found

    @cached_property
    def differing(self) -> Int[Tensor, "n 3"]:
        """All features that differ, those active in the second prompt alone included."""
        every = torch.unique(torch.cat([self.clean.features, self.other.features]), dim=0)
        found: Tensor = every[self.differ(every)]
        return found

    def changes(self, places: Int[Tensor, "n 3"]) -> tuple[Change | None, ...]:
        """Return what gives features their activations in the second prompt."""
        return changes_to(places, self.activations_of(self.other, places))

    def patching(self, here: FeatureEffects, there: FeatureEffects | None, seed: int) -> Patching:
        """Return features with their activations in the second prompt, strongest first.

        Args:
            here: Of the prompt's graph; those that do not differ are left out.
            there: Of a graph of the second prompt; its features are patched as well.
            seed: Of the drawing by chance.

        Raises:
            GraphError: If none of them differs.
        """
        device = self.clean.logits.device
        places, moved = self._change(here.on(device), self.clean, self.other)
        if there is not None:
            added, more = self._change(there.on(device), self.other, self.clean)
            new = ~torch.isin(self._keys(added), self._keys(places))
            places, moved = torch.cat([places, added[new]]), torch.cat([moved, more[new]])
        own, other = (self.activations_of(each, places) for each in (self.clean, self.other))
        order = moved.argsort(descending=True, stable=True)
        order = order[self.differ(places[order])]
        if not len(order):
            raise GraphError(
                "No feature that is patched differs between the two prompts. Give a second prompt "
                "that differs in what makes the answer, or keep more features."
            )
        generator = torch.Generator("cpu").manual_seed(seed)
        drawn = torch.randperm(len(self.differing), generator=generator, device="cpu")[: len(order)]
        chance = self.differing[drawn.to(self.differing.device)]
        return Patching(
            places[order],
            own[order],
            other[order],
            moved[order],
            self.changes(places[order]),
            self.changes(chance),
        )

    def _change(
        self, found: FeatureEffects, there: PromptPass, elsewhere: PromptPass
    ) -> tuple[Int[Tensor, "n 3"], Float[Tensor, " n"]]:
        """Return features of one prompt's graph, and the effect of their change to the other."""
        own, other = (self.activations_of(each, found.places) for each in (there, elsewhere))
        active = own != 0
        moved = found.effects * (own - other) / own
        return found.places[active], moved[active]

    def compared(self, asked: Asked) -> Asked:
        """Return an answer set beside what is likeliest after the second prompt.

        The tokens of an answer are looked at in whose place the second prompt has another; all of
        them where there are none. A difference that was asked for stays as it is.
        """
        tokenizer = self.clean.replacement.tokenizer
        logits = self.other.record.logits[0, list(asked.positions), : tokenizer.d_vocab]
        likely = logits.argmax(dim=1).tolist()
        columns = zip(asked.tokens, likely, asked.positions, asked.ranks, strict=True)
        other = [item for item in columns if item[0][1] < 0 and item[0][0] != item[1]]
        if not other:
            return asked
        pairs = tuple((token, best) for (token, _), best, _, _ in other)
        texts = ("".join(map(tokenizer.token_text, side)) for side in zip(*pairs, strict=True))
        text = " − ".join(output_name(each, is_token=True) for each in texts)
        return Asked(text, tuple(at for *_, at, _ in other), pairs, tuple(n for *_, n in other))

    @torch.no_grad()
    def rest(self, asked: Asked) -> PatchedRest:
        """Patch all features that differ; then what they leave too; then the tokens too."""
        features = [change for change in self.changes(self.differing) if change is not None]
        tokens: list[Change] = [
            TokenIntervention(position, token_id=theirs)
            for position, (ours, theirs) in enumerate(
                zip(self.clean.token_ids, self.other.token_ids, strict=True)
            )
            if ours != theirs
        ]
        sets = [features, features, [*features, *tokens]]
        left = self.other.reconstruction_errors - self.clean.reconstruction_errors
        added = torch.stack([torch.zeros_like(left), left, left])
        record = run_iterative(self.clean, sets, deltas_of(self.clean, sets), added=added)
        values = asked.value(record.logits[:, list(asked.positions)])
        return PatchedRest(*values.tolist())


def effects_on_answer(
    graph: AttributionGraph, nodes: Int[Tensor, " n"], ranks: Sequence[int]
) -> FeatureEffects:
    """Return what an answer loses without features, over all paths, as the graph says.

    Args:
        graph: The graph.
        nodes: Rows of its features.
        ranks: Numbers of the outputs that make the answer.
    """
    outputs = graph.every_node[graph.logit_nodes][list(ranks)]
    total = graph.rows(outputs)[:, : graph.n_features].mean(dim=0)
    layers = graph.features[:, 0]
    for layer in range(graph.n_layers - 1, 0, -1):
        rows = (layers == layer).nonzero()[:, 0]
        shares = total[rows] / graph.activations[rows]
        total = total + shares @ graph.rows(rows)[:, : graph.n_features]
    return FeatureEffects(graph.features[nodes], total[nodes])
