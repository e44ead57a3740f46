"""A graph file as positions, names and numbers to draw: the picture that our own graphs get."""

from collections.abc import Sequence
from dataclasses import replace

from circuitscope_core.circuit import Circuit
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import NodeKind, answer_among
from circuitscope_core.graph_file.file_circuit import (
    LONGEST_LABEL,
    LONGEST_TOKEN,
    circuit_of_file,
    shorten,
)
from circuitscope_core.graph_file.file_values import GraphFile
from circuitscope_core.supernodes import Supernode, Supernodes, describe_members
from circuitscope_core.tokenizer import ByteTokenizer, Tokenizer
from circuitscope_core.view import Fact, GraphView, NodeView
from circuitscope_core.view.facts import answer_fact
from circuitscope_core.view.layout import card_views, full_picture, group_picture, path_views


def layout_graph_file(
    file: GraphFile,
    circuit: Circuit | None = None,
    supernodes: Supernodes | None = None,
    cards: FeatureCards | None = None,
    tokenizer: Tokenizer | None = None,
) -> GraphView:
    """Lay a graph file out as ``layout_graph`` does: x is the token, y the layer, outputs on top.

    Args:
        file: The file.
        circuit: The part of it that is drawn, with a person's labels; None: all of it.
        supernodes: Groups that are drawn as one; None: the file's own.
        cards: Examples and statistics of its features, which do not travel with a graph's JSON. A
            label of the file stays; where it has none, the card's is shown.
        tokenizer: Turns the token ids of cards that have no texts into text.
    """
    whole = circuit_of_file(file) if circuit is None else circuit
    shown = whole if cards is None else _named_by_cards(whole, cards)
    groups = groups_of_file(file, shown) if supernodes is None else supernodes
    full = full_picture(shown, cards)
    return GraphView(
        prompt=shown.prompt,
        full=full,
        groups=group_picture(shown, cards, groups) if groups.merged else None,
        cards=card_views(shown, tokenizer or ByteTokenizer(), cards, None) if cards else {},
        paths=path_views(shown),
        facts=_facts(file, shown, full.nodes, groups),
    )


def groups_of_file(file: GraphFile, circuit: Circuit) -> Supernodes:
    """Return the file's own supernodes, of nodes that a circuit of it has."""
    groups = []
    for group in file.groups:
        members = tuple(member for member in group.members if member in circuit.row_of)
        if len(members) > 1:
            label = shorten(group.label, LONGEST_LABEL) or describe_members(circuit, members)
            groups.append(Supernode(label, members))
    return Supernodes(tuple(groups))


def _named_by_cards(circuit: Circuit, cards: FeatureCards) -> Circuit:
    """Return a circuit whose unnamed features are called by their cards' labels."""
    labels, names = list(circuit.labels), list(circuit.names)
    for row in circuit.rows_of(NodeKind.FEATURE).tolist():
        node = circuit.node(row)
        if labels[row] or node.feature < 0:
            continue
        labels[row] = cards.label(node.layer, node.feature)
        names[row] = labels[row] or names[row]
    return replace(circuit, labels=tuple(labels), names=tuple(names))


def _facts(
    file: GraphFile, circuit: Circuit, nodes: tuple[NodeView, ...], groups: Supernodes
) -> tuple[Fact, ...]:
    """Return what the file holds, and how far its numbers reach."""
    outputs = [node for node in nodes if node.kind == NodeKind.LOGIT]
    counts = [
        f"{file.count(kind):,} {name}"
        for kind, name in (
            (NodeKind.FEATURE, "features"),
            (NodeKind.ERROR, "errors"),
            (NodeKind.TOKEN, "tokens"),
            (NodeKind.LOGIT, "outputs"),
        )
    ]
    facts = [
        _output_fact(outputs),
        Fact("Nodes", _of(len(nodes), len(file.nodes)), f"The file holds {', '.join(counts)}."),
        Fact(
            "Links",
            _of(len(circuit.edges), len(file.links)),
            "Shares, influence and paths are computed from these alone: what was pruned before "
            "the file was written is not in it.",
        ),
        _influence_fact(file),
    ]
    if groups.merged:
        n_grouped = sum(len(group.members) for group in groups.merged)
        whose = "Named in the file." if groups == groups_of_file(file, circuit) else "Made here."
        facts.append(Fact("Supernodes", f"{len(groups.merged)} of {n_grouped} nodes", whose))
    if file.n_renamed:
        facts.append(
            Fact(
                "New ids",
                f"{file.n_renamed} error{'' if file.n_renamed == 1 else 's'}",
                "They had the id of a feature, as circuit-tracer’s first versions gave it; which "
                "links are theirs was seen from the order of the links.",
            )
        )
    if file.generator:
        made_by = shorten(file.generator, LONGEST_TOKEN)
        facts.append(Fact("Made by", made_by, "The program that wrote the file, by its own words."))
    return tuple(facts)


def _of(part: int, whole: int) -> str:
    """Return a count, and that of the file where it is another."""
    return f"{part:,}" if part == whole else f"{part:,} of {whole:,}"


def _output_fact(outputs: Sequence[NodeView]) -> Fact:
    """Name the most likely output, or the answer that outputs over several tokens make."""
    known = [node for node in outputs if node.probability is not None]
    if len(known) == len(outputs):
        texts = [node.label.removeprefix("“").removesuffix("”") for node in known]
        answer = answer_among(
            texts, [node.probability or 0.0 for node in known], [node.position for node in known]
        )
        if answer is not None:
            return answer_fact(answer)
    best = max(outputs, key=lambda node: node.probability or 0.0)
    chance = f" {best.probability:.1%}" if best.probability is not None else ""
    return Fact("Output", best.label + chance, "The most likely output, as the file has it.")


def _influence_fact(file: GraphFile) -> Fact:
    """Say what the file's own cumulative numbers tell of what was left out."""
    if not any(item.probability for item in file.nodes):
        return Fact(
            "Influence",
            "unknown",
            "The file gives its outputs no probabilities (token_prob), so nothing can be weighted "
            "by them.",
        )
    inner = (NodeKind.FEATURE, NodeKind.ERROR)
    reached = [item.reached for item in file.nodes if item.node.kind in inner]
    known = [value for value in reached if value is not None]
    if not known:
        return Fact("Influence", "of the file’s links", "The file has no numbers of its own.")
    return Fact(
        "Influence",
        f"{max(known):.0%} of the whole graph’s",
        "By the file’s own numbers its features and errors, with all nodes stronger than the "
        "weakest of them, hold this share of the influence before pruning. A node’s own influence "
        "is computed from the file’s links.",
    )
