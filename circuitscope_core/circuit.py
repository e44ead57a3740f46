"""The kept part of a graph as one flat table: a row for each node, a list of edges.

Made by pruning, by a graph file and by whoever has nodes and edges; taken by supernodes, layout,
paths, pictures, exports and scores. Nothing in it needs the graph or the model that it came from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import PruneConfig
from circuitscope_core.errors import GraphError
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import AttributionGraph, Node, NodeKind, node_id
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.tokenizer import output_name, token_label

if TYPE_CHECKING:
    import pandas as pd

KINDS = tuple(NodeKind)
"""A node's kind is stored as its place in this tuple."""


@dataclass(frozen=True, eq=False)
class CircuitEdges:
    """Edges between rows of a circuit's table."""

    sources: Int[Tensor, " n_edges"]
    targets: Int[Tensor, " n_edges"]
    weights: Float[Tensor, " n_edges"]
    """Raw direct effects, signed."""
    shares: Float[Tensor, " n_edges"]
    """Signed share of the target's kept input, -1 to 1."""

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        return f"CircuitEdges({len(self):,} edges)"

    @classmethod
    def of(cls, sources: Tensor, targets: Tensor, weights: Tensor, n: int) -> "CircuitEdges":
        """Return edges with their shares of each target's input.

        Args:
            sources: Row that each edge leaves.
            targets: Row that it enters.
            weights: Its direct effect.
            n: Number of rows.
        """
        totals = weights.new_zeros(n).index_add_(0, targets, weights.abs())
        return cls(sources, targets, weights, weights / totals[targets].clamp(min=1e-10))


@dataclass(frozen=True, eq=False)
class Circuit:
    """Nodes as columns of one table, and the edges between its rows."""

    prompt: str
    token_texts: tuple[str, ...]
    n_layers: int
    ids: tuple[str, ...]
    """Each node's id in the exchange format: unique, and equal for equal graphs."""
    index: Int[Tensor, " n_nodes"]
    """Each node's number in the graph that the circuit is part of; for a file, its row."""
    kinds: Int[Tensor, " n_nodes"]
    """Places in ``KINDS``."""
    layers: Int[Tensor, " n_nodes"]
    """-1 for tokens, ``n_layers`` for outputs."""
    positions: Int[Tensor, " n_nodes"]
    features: Int[Tensor, " n_nodes"]
    """Number of a feature in its layer, id of a token; -1 where there is none."""
    labels: tuple[str, ...]
    """A feature's label, an output's text; empty where there is none."""
    names: tuple[str, ...]
    """The words that each node is called by in pictures and lists."""
    influence: Float[Tensor, " n_nodes"]
    """Share of the output that passes through a node, 0 to 1."""
    reached: Float[Tensor, " n_nodes"]
    """Share of all influence held by a node and all stronger ones; NaN where not known."""
    score: Float[Tensor, " n_nodes"]
    """The number by which pruning ranked nodes (see ``prune_graph``); NaN where not known."""
    ablation_bits: Float[Tensor, " n_nodes"]
    """How far the answer moves when a feature alone is switched off in the replacement model (see
    ``ablate_in_replacement``); NaN for other nodes, and where it was not computed."""
    activations: Float[Tensor, " n_nodes"]
    """Activations of features; NaN for other nodes."""
    probabilities: Float[Tensor, " n_nodes"]
    """Probabilities of outputs that are tokens; NaN for other nodes."""
    worth: Float[Tensor, " n_nodes"]
    """Weight of each output in all that is explained; 0 for others."""
    dropped: Float[Tensor, " n_nodes"]
    """Share of a node's input that pruning left out, 0 to 1."""
    edges: CircuitEdges
    config: PruneConfig | None = None
    """The thresholds of pruning; None where they are not known."""
    n_features: int | None = None
    """Features of the graph that was pruned; None where that is not known."""
    neurons: bool = False
    """True where features are neurons of the model itself, and errors the other neurons."""
    one_dictionary: bool = True
    """False where the table has features of two models, whose numbers mean different features."""

    def __repr__(self) -> str:
        return f"Circuit({self.prompt!r}, {len(self):,} nodes, {len(self.edges):,} edges)"

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """The row of each id."""
        return {name: row for row, name in enumerate(self.ids)}

    @cached_property
    def row_of(self) -> Mapping[int, int]:
        """The row of each node's number in the graph."""
        return {number: row for row, number in enumerate(self.index.tolist())}

    def are(self, kind: NodeKind) -> Tensor:
        """Return which rows are of a kind, as booleans ``[n_nodes]``."""
        return self.kinds == KINDS.index(kind)

    def rows_of(self, kind: NodeKind) -> Int[Tensor, " n"]:
        """Return the rows of a kind."""
        return self.are(kind).nonzero()[:, 0]

    def node(self, row: int) -> Node:
        """Return what a row stands for."""
        return Node(
            KINDS[int(self.kinds[row])],
            int(self.layers[row]),
            int(self.positions[row]),
            int(self.features[row]),
        )

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of all rows."""
        columns = (self.kinds, self.layers, self.positions, self.features)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return tuple(Node(KINDS[kind], *rest) for kind, *rest in rows)

    @cached_property
    def output_positions(self) -> frozenset[int]:
        """The positions at which outputs are read: several where an answer is explained."""
        return frozenset(self.positions[self.are(NodeKind.LOGIT)].tolist())

    @cached_property
    def error_shares(self) -> Float[Tensor, " n_nodes"]:
        """Share of each node's kept input that comes from errors, 0 to 1."""
        edges = self.edges
        from_errors = edges.shares.abs() * self.are(NodeKind.ERROR)[edges.sources]
        return edges.shares.new_zeros(len(self)).index_add_(0, edges.targets, from_errors)

    @cached_property
    def strength(self) -> Float[Tensor, " n_nodes"]:
        """The rank of nodes of one kind: bits of ablation where they are known, else influence."""
        return torch.where(self.ablation_bits.isnan(), self.influence, self.ablation_bits)

    def labelled(self, cards: FeatureCards | None) -> "Circuit":
        """Return the same circuit with features named by their cards.

        Raises:
            GraphError: If the features are of two models, so that one set of cards names only half.
        """
        if cards is None or self.neurons:  # neurons were named for their sides when it was made
            return self
        if not self.one_dictionary:
            raise GraphError(
                "This circuit has features of two models, and cards name those of one. "
                "Give both sets to compared_circuit(comparison, a, b), and none here."
            )
        labels, names = list(self.labels), list(self.names)
        for row in self.rows_of(NodeKind.FEATURE).tolist():
            node = self.node(row)
            labels[row] = cards.label(node.layer, node.feature)
            names[row] = labels[row] or names[row]
        return replace(self, labels=tuple(labels), names=tuple(names))

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row for each node; what a kind of node has not is missing."""
        import pandas as pd  # slow to import, and rarely needed

        texts = [self.token_texts[position] for position in self.positions.tolist()]
        return pd.DataFrame(
            {
                "id": self.ids,
                "kind": [str(KINDS[kind]) for kind in self.kinds.tolist()],
                "layer": self.layers.tolist(),
                "position": self.positions.tolist(),
                "feature": self.features.tolist(),
                "token": texts,
                "name": self.names,
                "influence": self.influence.tolist(),
                "score": self.score.tolist(),
                "ablation_bits": self.ablation_bits.tolist(),
                "activation": self.activations.tolist(),
                "probability": self.probabilities.tolist(),
                "error_share": self.error_shares.tolist(),
                "dropped": self.dropped.tolist(),
            }
        )

    def edges_to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row for each edge, its ends by their ids."""
        import pandas as pd  # slow to import, and rarely needed

        edges = self.edges
        return pd.DataFrame(
            {
                "source": [self.ids[row] for row in edges.sources.tolist()],
                "target": [self.ids[row] for row in edges.targets.tolist()],
                "weight": edges.weights.tolist(),
                "share": edges.shares.tolist(),
            }
        )


@runtime_checkable
class HasCircuit(Protocol):
    """A trace, as far as pictures and exports need to know it."""

    @property
    def circuit(self) -> Circuit:
        """The kept part of the graph."""


Kept: TypeAlias = Circuit | PrunedGraph | HasCircuit
"""All that pictures, paths and exports are made of."""


def circuit_of(kept: Kept, cards: FeatureCards | None = None) -> Circuit:
    """Return the circuit of a pruned graph or a trace, or the one that was given.

    Args:
        kept: A circuit, or a value that has one.
        cards: Give the features their labels.
    """
    if isinstance(kept, PrunedGraph):
        return _of_pruned(kept, cards)
    circuit = kept if isinstance(kept, Circuit) else kept.circuit
    return circuit.labelled(cards)


def _of_pruned(pruned: PrunedGraph, cards: FeatureCards | None) -> Circuit:
    graph, kept = pruned.graph, pruned.kept_nodes
    nodes = [graph.node(index) for index in kept.tolist()]
    labels, names = [], []
    for node, index in zip(nodes, kept.tolist(), strict=True):
        label = label_of(graph, index, cards)
        labels.append(label)
        text = graph.token_texts[node.position]
        names.append(node_name(node, text, label, neurons=graph.choice is not None))
    missing = graph.bias.new_full((len(kept),), float("nan"))
    activations, probabilities = missing.clone(), missing.clone()
    worth = torch.zeros_like(missing)
    is_feature = kept < graph.n_features
    activations[is_feature] = graph.activations[kept[is_feature]].to(missing)
    is_output = kept >= graph.logit_nodes.start
    ranks = kept[is_output] - graph.logit_nodes.start
    worth[is_output] = graph.logit_weights[kept[is_output]].to(missing)
    tokens, known = graph.logit_token_ids[ranks] >= 0, graph.logit_probabilities[ranks].to(missing)
    probabilities[is_output] = torch.where(tokens, known, missing[is_output])
    targets, sources = pruned.kept_edges.nonzero(as_tuple=True)
    effects = pruned.kept_effects
    weights = effects[targets, sources]
    there = weights != 0
    targets, sources, weights = targets[there], sources[there], weights[there]
    totals = torch.cat([graph.rows(some).abs().sum(dim=1) for some in kept.split(ROWS_AT_ONCE)])
    held = torch.zeros_like(missing).index_add_(0, targets, weights.abs())
    dropped = torch.where(totals > 0, 1 - held / totals.clamp(min=1e-10), 0.0)
    return Circuit(
        prompt=graph.prompt,
        token_texts=graph.token_texts,
        n_layers=graph.n_layers,
        ids=tuple(node_id(graph, index) for index in kept.tolist()),
        index=kept,
        kinds=kept.new_tensor([KINDS.index(node.kind) for node in nodes]),
        layers=kept.new_tensor([node.layer for node in nodes]),
        positions=kept.new_tensor([node.position for node in nodes]),
        features=kept.new_tensor([node.feature for node in nodes]),
        labels=tuple(labels),
        names=tuple(names),
        influence=pruned.node_influence[kept],
        reached=pruned.cumulative_influence[kept],
        score=pruned.node_score[kept],
        ablation_bits=missing.clone(),
        activations=activations,
        probabilities=probabilities,
        worth=worth,
        dropped=dropped.clamp(min=0),
        edges=CircuitEdges.of(sources, targets, weights, len(kept)),
        config=pruned.config,
        n_features=graph.n_features,
        neurons=graph.choice is not None,
    )


ROWS_AT_ONCE = 128
"""Rows of a graph that are added up together."""


def label_of(graph: AttributionGraph, index: int, cards: FeatureCards | None) -> str:
    """Return a feature's label or an output's text; empty where a node has none."""
    node = graph.node(index)
    if node.kind is NodeKind.LOGIT:
        rank: int = index - graph.logit_nodes.start
        return graph.logit_texts[rank]
    if node.kind is NodeKind.FEATURE and cards is not None:
        return _feature_label(graph, index, cards)
    return ""


def _feature_label(graph: AttributionGraph, index: int, cards: FeatureCards) -> str:
    """Return a feature's label, of a neuron that of the side that tells most about it."""
    node, own = graph.node(index), float(graph.activations[index])
    if graph.choice is None:
        return cards.label(node.layer, node.feature)
    told = float(graph.choice.telling(graph.activations)[index])
    label = cards.label(node.layer, node.feature, told)
    return f"not {label}" if label and told != own else label


def node_name(node: Node, token_text: str, label: str, *, neurons: bool = False) -> str:
    """Return the words that a node is called by.

    Args:
        node: The node.
        token_text: Text of the token that it stands at.
        label: Of a feature, empty where it has none; the text of an output.
        neurons: True where features are neurons of the model itself.
    """
    if node.kind is NodeKind.LOGIT:
        return output_name(label, is_token=node.feature >= 0)
    token = token_label(token_text)
    if node.kind is NodeKind.TOKEN:
        return f"“{token}”"
    if node.kind is NodeKind.ERROR:
        return f"{'other neurons' if neurons else 'error'} at “{token}”"
    return label or f"{'neuron' if neurons else 'feature'} {node.feature}"


def place_of(
    node: Node, token_text: str, place: str | None = None, *, neurons: bool = False
) -> str:
    """Return where a node is.

    Args:
        node: The node.
        token_text: Text of the token that it stands at.
        place: Which token that is; by its position where None.
        neurons: True where features are neurons of the model itself.
    """
    if node.kind is NodeKind.LOGIT:
        return "output"
    if node.kind is NodeKind.TOKEN:
        return f"token {node.position} of the prompt"
    at = f"at “{token_label(token_text)}”, {place or f'token {node.position}'}"
    if node.kind is NodeKind.ERROR:
        rest = (
            "all neurons that are no nodes" if neurons else "what the transcoder leaves unexplained"
        )
        return f"layer {node.layer}, {at}: {rest}"
    return f"layer {node.layer}, {'neuron' if neurons else 'feature'} {node.feature}, {at}"


def describe_nodes(
    nodes: Sequence[Node], token_texts: Sequence[str], n_layers: int, word: str = "feature"
) -> str:
    """Name nodes by their layers and tokens; ``word`` is what a feature is called."""
    layers = sorted({node.layer for node in nodes})
    positions = sorted({node.position for node in nodes})
    names = [_row_name(layer, n_layers) for layer in (layers[0], layers[-1])]
    where = "-".join(dict.fromkeys(names))
    tokens = ", ".join(token_texts[position] for position in positions[:3])
    more = " …" if len(positions) > 3 else ""
    kind = word if all(node.kind is NodeKind.FEATURE for node in nodes) else "node"
    count = f"{len(nodes)} {kind}s" if len(nodes) > 1 else kind
    return f"{count} at “{tokens}{more}” ({where})"


def _row_name(layer: int, n_layers: int) -> str:
    if layer < 0:
        return "tokens"
    return f"L{layer}" if layer < n_layers else "output"


def node_indices(kept: Kept, ids: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the kept nodes among ids of the exchange format."""
    circuit = circuit_of(kept)
    return tuple(int(circuit.index[circuit.rows[name]]) for name in ids if name in circuit.rows)
