"""Two pruned graphs on shared axes: which nodes are the same, and who keeps them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.comparison.align import align
from circuitscope_core.comparison.compared_graphs import ComparedNode, Comparison, Presence
from circuitscope_core.comparison.edge_differences import compare_edges
from circuitscope_core.graph import NodeKind
from circuitscope_core.pruning import PrunedGraph

OutputsBy = Literal["token", "rank"]
Key = tuple[Any, ...]
"""The identity of a node in both graphs: its kind's number, layer, column, name."""
KINDS = tuple(NodeKind)
FEATURE, ERROR, TOKEN, LOGIT = range(len(KINDS))


@checked
def compare_graphs(
    a: PrunedGraph, b: PrunedGraph, *, same_features: bool, outputs: OutputsBy = "token"
) -> Comparison:
    """Compare two pruned graphs, of two prompts or of two models.

    A node of A and one of B are the same if they are features of one number, layer and column,
    errors of one layer and column, tokens of one column, or outputs of one token that have the same
    place in the answers, where these have several.

    Args:
        a: One graph.
        b: The other.
        same_features: Whether both were made with the same transcoder and tokenizer. If not, no
            feature of A is one of B, and outputs are compared by their text.
        outputs: What makes two outputs the same: their ``token``, or their ``rank`` among the
            outputs of their place, the likeliest first. By rank, the token that each prompt wants
            is one node, whatever it is.
    """
    columns = align(a.graph.token_texts, b.graph.token_texts)
    n_layers = max(a.graph.n_layers, b.graph.n_layers)
    by = (n_layers, outputs)
    half_a = _Half(a, [column.a for column in columns], "" if same_features else "a", *by)
    half_b = _Half(b, [column.b for column in columns], "" if same_features else "b", *by)
    kept = sorted(half_a.kept_keys | half_b.kept_keys)
    nodes = tuple(_compared(key, half_a.presence(key), half_b.presence(key)) for key in kept)
    return Comparison(a, b, same_features, columns, nodes, compare_edges(a, b, nodes))


@dataclass(frozen=True)
class _Half:
    """One of the two graphs, with a key for each of its nodes."""

    pruned: PrunedGraph
    positions: Sequence[int | None]
    """The position in this prompt of each shared column."""
    owner: str
    """Tells features of two transcoders apart; empty where they are the same."""
    n_layers: int
    """The number of layers of the deeper model, which is the layer of all outputs."""
    outputs_by: OutputsBy

    @cached_property
    def columns(self) -> list[int]:
        """Shared column of each position."""
        return [column for column, place in enumerate(self.positions) if place is not None]

    @cached_property
    def keys(self) -> list[Key]:
        """The identity of each node in both graphs, in this graph's order."""
        graph, columns = self.pruned.graph, self.columns
        every = [(layer, column) for layer in range(graph.n_layers) for column in columns]
        features = (
            (FEATURE, layer, columns[place], number, self.owner)
            for layer, place, number in graph.features.tolist()
        )
        errors = ((ERROR, layer, column) for layer, column in every)
        tokens = ((TOKEN, -1, column) for column in columns)
        return [*features, *errors, *tokens, *self._outputs()]

    def _outputs(self) -> Iterator[Key]:
        """Outputs are the same where the token is, or its rank, and its place in the answer.

        Those of one text at one place are counted.
        """
        if self.outputs_by == "rank":
            yield from self._ranked_outputs()
            return
        graph = self.pruned.graph
        seen: Counter[Key] = Counter()
        places = torch.unique(graph.target_positions, return_inverse=True)[1].tolist()
        outputs = zip(graph.logit_token_ids.tolist(), graph.logit_texts, places, strict=True)
        for token, text, place in outputs:
            name = (place, text) if self.owner else (place, text, token)
            yield (LOGIT, self.n_layers, *name, seen[name])
            seen[name] += 1

    def _ranked_outputs(self) -> Iterator[Key]:
        """Outputs by their rank at each place: the likeliest first, of equals the first."""
        graph = self.pruned.graph
        places = torch.unique(graph.target_positions, return_inverse=True)[1].tolist()
        chances = graph.logit_probabilities.nan_to_num(-1.0).tolist()
        for number, place in enumerate(places):
            better = (
                other
                for other, (their_place, chance) in enumerate(zip(places, chances, strict=True))
                if their_place == place
                and (chance > chances[number] or (chance == chances[number] and other < number))
            )
            yield (LOGIT, self.n_layers, place, sum(1 for _ in better))

    @cached_property
    def index(self) -> dict[Key, int]:
        """The graph's node of each key."""
        return dict(zip(self.keys, range(len(self.keys)), strict=True))

    @cached_property
    def kept_keys(self) -> set[Key]:
        """Keys of the nodes kept."""
        return {self.keys[node] for node in self.pruned.kept_nodes.tolist()}

    def presence(self, key: Key) -> Presence | None:
        """Return what there is to know of a node here; None where it is not in this graph."""
        if key not in self.index:
            return None
        index, graph = self.index[key], self.pruned.graph
        rank = index - graph.logit_nodes.start
        is_token = rank >= 0 and int(graph.logit_token_ids[rank]) >= 0
        return Presence(
            index=index,
            column=self.columns[int(self._node_positions[index])],
            kept=bool(self.pruned.node_mask[index]),
            influence=float(self.pruned.node_influence[index]),
            activation=float(graph.activations[index]) if index < graph.n_features else None,
            probability=float(graph.logit_probabilities[rank]) if is_token else None,
            worth=float(self._weights[index]),
        )

    @cached_property
    def _weights(self) -> Float[Tensor, " n_nodes"]:
        return self.pruned.graph.logit_weights

    @cached_property
    def _node_positions(self) -> Int[Tensor, " n_nodes"]:
        return self.pruned.graph.node_positions


def _compared(key: Key, a: Presence | None, b: Presence | None) -> ComparedNode:
    kind, layer, *_ = key
    # outputs of prompts that do not end in one column stand in the later
    column = max(half.column for half in (a, b) if half)
    return ComparedNode(KINDS[kind], layer, column, a, b)
