"""Names of nodes: ids, labels and sub-titles."""

from collections.abc import Sequence

from circuitscope_core.circuit import Circuit, label_of, node_name
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import AttributionGraph, NodeKind
from circuitscope_core.supernodes import Supernode, describe_members
from circuitscope_core.tokenizer import (
    LONGEST_CHARACTER,
    Tokenizer,
    token_label,
    width_of_character,
)


def node_label(graph: AttributionGraph, index: int, cards: FeatureCards | None) -> str:
    """Return the words that a node of a graph is called by, kept by pruning or not."""
    node = graph.node(index)
    return node_name(
        node,
        graph.token_texts[node.position],
        label_of(graph, index, cards),
        neurons=graph.choice is not None,
    )


def group_name(circuit: Circuit, group: Supernode) -> str:
    """Return the name that a person gave a group; empty where none did."""
    return "" if group.label == describe_members(circuit, group.members) else group.label


def group_label(circuit: Circuit, group: Supernode, rows: Sequence[int]) -> str:
    """Return a group's name: one given by hand, else its tokens or its most influential member.

    Args:
        circuit: The circuit.
        group: The group.
        rows: The rows of its members.
    """
    name = group_name(circuit, group)
    nodes = [circuit.node(row) for row in rows]
    if not name and all(node.kind is NodeKind.TOKEN for node in nodes):
        texts = (token_label(circuit.token_texts[node.position]) for node in nodes)
        return f"“{''.join(texts)}”"
    if name or not any(circuit.labels[row] for row in rows):
        return name or group.label
    more = f" +{len(rows) - 1}" if len(rows) > 1 else ""
    return circuit.names[strongest_row(circuit, rows)] + more


def strongest_row(circuit: Circuit, rows: Sequence[int]) -> int:
    """Return the row that matters most; of equals, the first.

    Features count by what the answer loses without them, where that is known, and come before
    other nodes; else influence counts.
    """
    bits, influence = circuit.ablation_bits.nan_to_num(-1.0), circuit.influence
    return max(rows, key=lambda row: (float(bits[row]), float(influence[row]), -row))


def readable_tokens(
    tokenizer: Tokenizer, token_ids: Sequence[int], values: Sequence[float], peak: int
) -> tuple[tuple[str, ...], tuple[float, ...], int]:
    """Return texts with the bytes of one character joined, which then share the strongest value.

    Returns:
        Texts, values, and the place of the peak among them.
    """
    texts: list[str] = []
    joined: list[float] = []
    new_peak = start = 0
    while start < len(token_ids):
        text, width = tokenizer.token_text(token_ids[start]), 1
        if text.startswith("\\x"):
            width = width_of_character(tokenizer, token_ids[start : start + LONGEST_CHARACTER])
        if start <= peak < start + width:
            new_peak = len(texts)
        if width > 1:
            text = tokenizer.decode(list(token_ids[start : start + width]))
        texts.append(text)
        joined.append(max(values[start : start + width], key=abs))
        start += width
    return tuple(texts), tuple(joined), new_peak
