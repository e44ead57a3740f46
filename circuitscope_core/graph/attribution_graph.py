"""The attribution graph's value type: node order, and index to node and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.errors import GraphError
from circuitscope_core.graph.alternatives import Alternatives
from circuitscope_core.graph.graph_parts import (
    GraphEdges,
    GraphTargets,
    NeuronChoice,
    Node,
    NodeKind,
)
from circuitscope_core.graph.outputs import ExplainedAnswer, answer_among, output_weights

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE = 128
"""Rows of the adjacency looked at together: a copy of so few stays small."""


@dataclass(frozen=True)
class AttributionGraph:
    """Exact direct effects behind one prediction.

    Nodes are ordered features (by layer, position, feature), errors (layer by layer), tokens,
    logits (by falling probability, those of an answer by position): circuit-tracer's order, so
    graphs compare entry by entry.
    ``adjacency[target, source]`` is what the target's pre-activation (a feature) or its logit less
    the mean logit (a logit) would lose without the source, all else frozen. For features and logits
    ``adjacency.sum(1) + bias == pre_activations``.
    """

    adjacency: Float[Tensor, "n_nodes n_nodes"]
    features: Int[Tensor, "n_features 3"]
    """Layer, position and number of every active feature."""
    activations: Float[Tensor, " n_features"]
    error_vectors: Float[Tensor, "n_layers n_pos d_model"]
    """The part of each MLP output that the transcoder leaves out; 0 at position 0."""
    token_ids: Int[Tensor, " n_pos"]
    logit_token_ids: Int[Tensor, " n_logits"]
    """-1 where a target is no single token (a difference, a direction)."""
    logit_probabilities: Float[Tensor, " n_logits"]
    """The model's own, of each token at its position; equal weights where not all are tokens."""
    bias: Float[Tensor, " n_nodes"]
    """The sum of biases, position embeddings and other constants in each feature and logit."""
    pre_activations: Float[Tensor, " n_nodes"]
    """The values of features and logits that edges add up to; 0 for errors and tokens."""
    token_texts: tuple[str, ...]
    logit_texts: tuple[str, ...]
    prompt: str
    n_active_features: int
    """Features active on the prompt; more than ``n_features`` only where ``max_feature_nodes`` cut
    the graph. The effects of the others are then in ``rest``, and a part of ``bias``."""
    targets: GraphTargets | None = None
    """None for graphs that were not made by ``attribute``."""
    choice: NeuronChoice | None = None
    """The choice of a model's own neurons; None where features are a transcoder's."""
    alternatives: Alternatives | None = None
    """Tokens that the outputs are told from; None where outputs are no tokens, and for graphs of a
    model's own neurons."""
    rest: Float[Tensor, "n_targets n_errors"] | None = None
    """Direct effects on features and logits of the active features that are no nodes, added up for
    each layer and position. They are a part of ``bias``. None where all features are nodes."""

    def __post_init__(self) -> None:
        if self.adjacency.shape != (self.n_nodes, self.n_nodes):
            raise GraphError(
                f"adjacency is {tuple(self.adjacency.shape)}; {self.n_features} features, "
                f"{self.n_errors} errors, {self.n_pos} tokens and {self.n_logits} logits "
                f"make {self.n_nodes} nodes."
            )
        wanted = (self.n_features + self.n_logits, self.n_errors)
        if self.rest is not None and self.rest.shape != wanted:
            raise GraphError(
                f"rest is {tuple(self.rest.shape)}; {wanted[0]} targets and {wanted[1]} layers and "
                f"positions make it {wanted}."
            )

    @property
    def n_features(self) -> int:
        """Number of feature nodes."""
        return len(self.features)

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        return self.error_vectors.shape[0]

    @property
    def n_pos(self) -> int:
        """Tokens of the prompt, the separator included."""
        return len(self.token_ids)

    @property
    def n_errors(self) -> int:
        """Number of error nodes: one per layer and position."""
        return self.n_layers * self.n_pos

    @property
    def n_logits(self) -> int:
        """Number of logit nodes."""
        return len(self.logit_token_ids)

    @property
    def n_nodes(self) -> int:
        """Number of all nodes."""
        return self.n_features + self.n_errors + self.n_pos + self.n_logits

    def __repr__(self) -> str:
        return (
            f"AttributionGraph({self.prompt!r}, {self.n_features:,} features, {self.n_pos} tokens, "
            f"{self.n_logits} outputs)"
        )

    @cached_property
    def n_edges(self) -> int:
        """Number of direct effects that are not zero; counted once."""
        return sum(int(torch.count_nonzero(self.rows(some))) for some in self.row_batches())

    @property
    def every_node(self) -> Int[Tensor, " n_nodes"]:
        """The numbers of all nodes."""
        return torch.arange(self.n_nodes, device=self.bias.device)

    @property
    def target_nodes(self) -> Int[Tensor, " n_targets"]:
        """Indices of the nodes that have inputs: features and logits."""
        every = self.every_node
        return torch.cat([every[self.feature_nodes], every[self.logit_nodes]])

    def row_batches(self) -> Iterator[Int[Tensor, " n"]]:
        """Yield the nodes that have inputs, as many as are looked at together."""
        yield from self.target_nodes.split(ROWS_AT_ONCE)

    def rows(self, nodes: Int[Tensor, " n"]) -> Float[Tensor, "n n_nodes"]:
        """Return a copy of the direct effects on some nodes from every node."""
        return self.adjacency[nodes]

    def columns(self, nodes: Int[Tensor, " n"]) -> Float[Tensor, "n_nodes n"]:
        """Return a copy of the direct effects of some nodes on every node."""
        return self.adjacency[:, nodes]

    def between(
        self, targets: Int[Tensor, " n_targets"], sources: Int[Tensor, " n_sources"]
    ) -> Float[Tensor, "n_targets n_sources"]:
        """Return a copy of the direct effects of some nodes on some others."""
        return self.adjacency[targets[:, None], sources]

    def edges(self) -> GraphEdges:
        """Return all direct effects that are not 0, row by row."""
        parts = []
        for nodes in self.row_batches():
            rows = self.rows(nodes)
            targets, sources = rows.nonzero(as_tuple=True)
            parts.append((nodes[targets], sources, rows[targets, sources]))
        none = (self.features.new_empty(0),) * 2 + (self.bias.new_empty(0),)
        return GraphEdges(*(torch.cat(part) for part in zip(*(parts or [none]), strict=True)))

    @property
    def feature_nodes(self) -> slice:
        """Indices of the feature nodes."""
        return slice(0, self.n_features)

    @property
    def error_nodes(self) -> slice:
        """Indices of the error nodes."""
        return slice(self.n_features, self.n_features + self.n_errors)

    @property
    def token_nodes(self) -> slice:
        """Indices of the token nodes."""
        start = self.n_features + self.n_errors
        return slice(start, start + self.n_pos)

    @property
    def logit_nodes(self) -> slice:
        """Indices of the logit nodes."""
        return slice(self.n_nodes - self.n_logits, self.n_nodes)

    @property
    def logit_weights(self) -> Float[Tensor, " n_nodes"]:
        """How much each logit node counts, 0 elsewhere; see ``output_weights``."""
        weights = self.logit_probabilities.new_zeros(self.n_nodes)
        given = (self.logit_probabilities, self.target_positions, self.logit_token_ids)
        weights[self.logit_nodes] = output_weights(*given)
        return weights

    @property
    def rest_share(self) -> float:
        """Share of the outputs' input that comes from active features that are no nodes, 0 to 1.

        Absolute effects, by the outputs' weights; of the features, those of a layer and position
        added up. 0 where all active features are nodes.
        """
        if self.rest is None:
            return 0.0
        outputs = self.every_node[self.logit_nodes]
        rest = self.rest[self.n_features :].abs().sum(dim=1)
        shares = rest / (rest + self.rows(outputs).abs().sum(dim=1)).clamp(min=1e-30)
        weights = self.logit_weights[outputs]
        return float((weights * shares).sum() / weights.sum().clamp(min=1e-30))

    @property
    def answer(self) -> ExplainedAnswer | None:
        """The answer of several tokens that is explained; None where all are read at one place."""
        if bool((self.logit_token_ids < 0).any()):
            return None
        values = (self.logit_probabilities.tolist(), self.target_positions.tolist())
        return answer_among(self.logit_texts, *values)

    @property
    def node_layers(self) -> Int[Tensor, " n_nodes"]:
        """Layer of every node: -1 for tokens, ``n_layers`` for logits."""
        like = self.features
        errors = like.new_tensor(range(self.n_layers)).repeat_interleave(self.n_pos)
        tokens = like.new_full((self.n_pos,), -1)
        logits = like.new_full((self.n_logits,), self.n_layers)
        return torch.cat([self.features[:, 0], errors, tokens, logits])

    @property
    def node_positions(self) -> Int[Tensor, " n_nodes"]:
        """Token position of every node."""
        every = self.features.new_tensor(range(self.n_pos))
        return torch.cat(
            [
                self.features[:, 1],
                every.repeat(self.n_layers),
                every,
                self.target_positions,
            ]
        )

    @property
    def target_positions(self) -> Int[Tensor, " n_logits"]:
        """Position that each logit node is read at: the last one unless targets say otherwise."""
        if self.targets is None:
            return self.features.new_full((self.n_logits,), self.n_pos - 1)
        return self.targets.positions

    def node(self, index: int) -> Node:
        """Return what the node at ``index`` stands for.

        Raises:
            GraphError: If there is no such node.
        """
        if not 0 <= index < self.n_nodes:
            raise GraphError(f"Node {index} does not exist; nodes go from 0 to {self.n_nodes - 1}.")
        if index < self.n_features:
            layer, position, feature = self.features[index].tolist()
            return Node(NodeKind.FEATURE, layer, position, feature)
        index -= self.n_features
        if index < self.n_errors:
            return Node(NodeKind.ERROR, index // self.n_pos, index % self.n_pos, -1)
        index -= self.n_errors
        if index < self.n_pos:
            return Node(NodeKind.TOKEN, -1, index, int(self.token_ids[index]))
        index -= self.n_pos
        token_id, position = int(self.logit_token_ids[index]), int(self.target_positions[index])
        return Node(NodeKind.LOGIT, self.n_layers, position, token_id)

    def save(self, path: str | Path) -> Path:
        """Write the graph as one file, whole or not at all; ``load_graph`` reads it.

        Raises:
            GraphFileError: If the file cannot be written.
        """
        from circuitscope_core.graph.storage import save_graph  # it builds on this module

        return save_graph(self, path)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row for each node, in the graph's order.

        Columns: kind, layer, position, feature, token (the text at the position), activation,
        probability, bias and pre_activation; what a kind of node has not is missing.
        """
        import pandas as pd  # slow to import, and rarely needed

        nodes = [self.node(index) for index in range(self.n_nodes)]
        table = pd.DataFrame(nodes, columns=["kind", "layer", "position", "feature"])
        table["kind"] = table["kind"].astype(str)
        table["token"] = [self.token_texts[node.position] for node in nodes]
        for name, values, start in (
            ("activation", self.activations, 0),
            ("probability", self.logit_probabilities, self.logit_nodes.start),
        ):
            table[name] = float("nan")
            table.loc[start : start + len(values) - 1, name] = values.tolist()
        table["bias"] = self.bias.tolist()
        table["pre_activation"] = self.pre_activations.tolist()
        return table

    def index_of_feature(self, layer: int, position: int, feature: int) -> int:
        """Return the index of an active feature's node.

        Raises:
            GraphError: If the feature is not active there.
        """
        wanted = self.features.new_tensor([layer, position, feature])
        found = (self.features == wanted).all(dim=1).nonzero()
        if not len(found):
            raise GraphError(
                f"Feature {feature} of layer {layer} is not active at position {position}."
            )
        return int(found[0])

    def index_of_error(self, layer: int, position: int) -> int:
        """Return the index of an error node."""
        return self.n_features + layer * self.n_pos + position

    def index_of_token(self, position: int) -> int:
        """Return the index of a token node."""
        return self.n_features + self.n_errors + position


def node_id(graph: AttributionGraph, index: int) -> str:
    """Return a node's id in the exchange format: unique, and equal for equal graphs.

    Targets that are no token have no id of their own and are counted -1, -2, … instead.
    """
    node = graph.node(index)
    if node.kind is NodeKind.TOKEN:
        return f"E_{node.feature}_{node.position}"
    if node.kind is NodeKind.LOGIT:
        token_id = node.feature if node.feature >= 0 else graph.logit_nodes.start - index - 1
        return f"{node.layer + 1}_{token_id}_{node.position}"
    return f"{node.layer}_{node.feature}_{node.position}"


def normalize_rows(adjacency: Float[Tensor, "rows cols"]) -> Float[Tensor, "rows cols"]:
    """Return absolute effects as shares of each target's total input; empty rows stay 0."""
    return signed_shares(adjacency).abs_()


def signed_shares(adjacency: Float[Tensor, "rows cols"]) -> Float[Tensor, "rows cols"]:
    """Return signed shares of each target's total input; absolute rows add up to 1."""
    return adjacency / adjacency.abs().sum(dim=1, keepdim=True).clamp(min=1e-10)
