"""Names of nodes: ids, labels and sub-titles."""

from collections.abc import Sequence

from circuitscope_core.feature_cards import FeatureCard, FeatureCards, show
from circuitscope_core.graph import AttributionGraph, Node, NodeKind
from circuitscope_core.supernodes import Supernode, describe_members
from circuitscope_core.tokenizer import SEPARATOR, Tokenizer

LONGEST_CHARACTER = 4
"""Bytes of one character in UTF-8."""


def node_id(graph: AttributionGraph, index: int) -> str:
    """Return a node's id in the exchange format: unique, and equal for equal graphs.

    Targets that are no token have no id of their own and are counted -1, -2, … instead.
    """
    node = graph.node(index)
    if node.kind is NodeKind.TOKEN:
        return f"E_{node.feature}_{node.position}"
    if node.kind is NodeKind.LOGIT:
        rank = index - graph.logit_nodes.start
        token_id = node.feature if node.feature >= 0 else -1 - rank
        return f"{node.layer + 1}_{token_id}_{node.position}"
    return f"{node.layer}_{node.feature}_{node.position}"


def token_label(text: str) -> str:
    """Return a token's text with line ends and lone spaces visible, and the separator by name."""
    return "start" if text == SEPARATOR else show(text)


def card_of(graph: AttributionGraph, index: int, cards: FeatureCards | None) -> FeatureCard | None:
    """Return a feature node's card, None for other nodes and without cards."""
    if cards is None or index >= graph.n_features:
        return None
    layer, _, feature = graph.features[index].tolist()
    return cards.card(layer, feature)


def output_label(graph: AttributionGraph, rank: int) -> str:
    """Return what an output is called: a token in quotes, or what else is explained."""
    text = show(graph.logit_texts[rank])
    return f"“{text}”" if int(graph.logit_token_ids[rank]) >= 0 else text


def node_label(graph: AttributionGraph, index: int, cards: FeatureCards | None) -> str:
    """Return what a node is called: its token, or a feature's label."""
    node = graph.node(index)
    if node.kind is NodeKind.LOGIT:
        return output_label(graph, index - graph.logit_nodes.start)
    label = cards.label(node.layer, node.feature) if cards and index < graph.n_features else ""
    return name_node(node, graph.token_texts[node.position], label)


def name_node(node: Node, token_text: str, label: str) -> str:
    """Return what a node that is no output is called.

    Args:
        node: The node.
        token_text: Text of the token that it stands at.
        label: Of a feature; empty where it has none.
    """
    token = token_label(token_text)
    if node.kind is NodeKind.TOKEN:
        return f"“{token}”"
    if node.kind is NodeKind.ERROR:
        return f"error at “{token}”"
    return label or f"feature {node.feature}"


def node_detail(graph: AttributionGraph, index: int) -> str:
    """Return where a node is."""
    node = graph.node(index)
    return place_node(node, graph.token_texts[node.position])


def place_node(node: Node, token_text: str) -> str:
    """Return where a node is, given the text of the token that it stands at."""
    token = token_label(token_text)
    place = f"at “{token}”, token {node.position}"
    if node.kind is NodeKind.LOGIT:
        return "output"
    if node.kind is NodeKind.TOKEN:
        return f"token {node.position} of the prompt"
    if node.kind is NodeKind.ERROR:
        return f"layer {node.layer}, {place}: what the transcoder leaves unexplained"
    return f"layer {node.layer}, feature {node.feature}, {place}"


def group_name(graph: AttributionGraph, group: Supernode) -> str:
    """Return the name that a person gave a group; empty where none did."""
    return "" if group.label == describe_members(graph, group.members) else group.label


def group_label(
    graph: AttributionGraph,
    group: Supernode,
    cards: FeatureCards | None,
    influence: Sequence[float],
) -> str:
    """Return a group's name: one given by hand, else its tokens or its most influential member."""
    name = group_name(graph, group)
    nodes = [graph.node(member) for member in group.members]
    if not name and all(node.kind is NodeKind.TOKEN for node in nodes):
        texts = (token_label(graph.token_texts[node.position]) for node in nodes)
        return f"“{''.join(texts)}”"
    if name or cards is None:
        return name or group.label
    strongest = max(group.members, key=lambda member: (influence[member], -member))
    more = f" +{len(group.members) - 1}" if len(group.members) > 1 else ""
    return node_label(graph, strongest, cards) + more


def readable_tokens(
    tokenizer: Tokenizer, token_ids: Sequence[int], values: Sequence[float], peak: int
) -> tuple[tuple[str, ...], tuple[float, ...], int]:
    """Return texts with the bytes of one character joined, which then share the highest value.

    Returns:
        Texts, values, and the place of the peak among them.
    """
    texts: list[str] = []
    joined: list[float] = []
    new_peak = start = 0
    while start < len(token_ids):
        text, width = tokenizer.token_text(token_ids[start]), 1
        if text.startswith("\\x"):
            width = _width_of_character(tokenizer, token_ids[start : start + LONGEST_CHARACTER])
        if start <= peak < start + width:
            new_peak = len(texts)
        if width > 1:
            text = tokenizer.decode(list(token_ids[start : start + width]))
        texts.append(text)
        joined.append(max(values[start : start + width]))
        start += width
    return tuple(texts), tuple(joined), new_peak


def _width_of_character(tokenizer: Tokenizer, token_ids: Sequence[int]) -> int:
    """Return how many tokens make the first character; 1 where they make none."""
    for width in range(2, len(token_ids) + 1):
        text = tokenizer.decode(list(token_ids[:width]))
        if len(text) == 1 and text.isprintable() and text != "\ufffd":
            return width
    return 1
