"""Turns nodes of a graph into interventions on the model."""

from collections.abc import Sequence
from typing import Literal

from circuitscope_core.arguments import checked
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, NodeKind
from circuitscope_core.interventions.changes import (
    Change,
    ErrorIntervention,
    Intervention,
    TokenIntervention,
)
from circuitscope_core.prompt_pass import PromptPass

How = Literal["ablate", "scale", "set", "patch"]


@checked
def change_nodes(
    graph: AttributionGraph,
    nodes: Sequence[int],
    how: How = "ablate",
    strength: float = 0.0,
    donor: PromptPass | None = None,
) -> tuple[Change, ...]:
    """Return the changes that ablate, scale, set or patch nodes.

    Args:
        graph: The graph.
        nodes: Indices of features, errors and tokens, for example of a supernode.
        how: ``ablate`` takes a node away; ``scale`` multiplies it by ``strength``; ``set`` gives
            features the activation ``strength``; ``patch`` gives features the activation, and
            token nodes the token, that they have in another prompt.
        strength: See above.
        donor: The other prompt's clean pass, as long as this one.

    Raises:
        GraphError: If a node is an output, or cannot be changed in this way.
    """
    if how == "patch" and (donor is None or donor.n_pos != graph.n_pos):
        there = "none was given" if donor is None else f"it has {donor.n_pos}"
        raise GraphError(
            f"Patching needs another prompt of {graph.n_pos} tokens; {there}. Give one that "
            "differs in as few tokens as possible."
        )
    factor = 0.0 if how == "ablate" else strength
    return tuple(_change(graph, node, how, factor, donor) for node in nodes)


def _change(
    graph: AttributionGraph, index: int, how: How, strength: float, donor: PromptPass | None
) -> Change:
    node = graph.node(index)
    if node.kind is NodeKind.FEATURE:
        value = strength
        if how == "patch":
            assert donor is not None, "change_nodes() has checked it"
            value = float(donor.dense_activations[node.layer, node.position, node.feature])
        elif how == "scale":
            value = strength * float(graph.activations[index])
        return Intervention(node.layer, node.position, node.feature, value)
    if node.kind is NodeKind.TOKEN and how == "patch":
        assert donor is not None, "change_nodes() has checked it"
        return TokenIntervention(node.position, token_id=donor.token_ids[node.position])
    if node.kind is NodeKind.LOGIT or how not in ("ablate", "scale"):
        raise GraphError(
            f"Node {index} is {_named(node.kind)}, which cannot be {_PAST[how]}. Features can be "
            "ablated, scaled, set and patched, tokens ablated, scaled and patched, errors ablated "
            "and scaled."
        )
    if node.kind is NodeKind.TOKEN:
        return TokenIntervention(node.position, strength)
    return ErrorIntervention(node.layer, node.position, strength)


_PAST = {"ablate": "ablated", "scale": "scaled", "set": "set", "patch": "patched"}


def _named(kind: NodeKind) -> str:
    return {
        NodeKind.FEATURE: "a feature",
        NodeKind.ERROR: "an error",
        NodeKind.TOKEN: "a token",
        NodeKind.LOGIT: "an output",
    }[kind]
