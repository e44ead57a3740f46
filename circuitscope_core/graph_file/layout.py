"""A graph file as positions, names and numbers to draw: the picture that our own graphs get."""

from collections.abc import Sequence

from circuitscope_core.graph import NodeKind, answer_among
from circuitscope_core.graph_file.circuit import (
    LONGEST_LABEL,
    LONGEST_TOKEN,
    circuit_of_file,
    shorten,
)
from circuitscope_core.graph_file.model import GraphFile
from circuitscope_core.supernodes import Supernode, Supernodes, describe_members
from circuitscope_core.view import Fact, GraphView, NodeView
from circuitscope_core.view.facts import answer_fact
from circuitscope_core.view.layout import full_picture, group_picture, path_views


def layout_graph_file(file: GraphFile) -> GraphView:
    """Lay a graph file out as ``layout_graph`` does: x is the token, y the layer, outputs on top.

    There are no feature cards: they do not travel with a graph's JSON.
    """
    circuit = circuit_of_file(file)
    groups = [
        Supernode(
            shorten(group.label, LONGEST_LABEL) or describe_members(circuit, group.members),
            group.members,
        )
        for group in file.groups
    ]
    full = full_picture(circuit)
    return GraphView(
        prompt=circuit.prompt,
        full=full,
        groups=group_picture(circuit, None, Supernodes(tuple(groups))) if groups else None,
        cards={},
        paths=path_views(circuit),
        facts=_facts(file, full.nodes),
    )


def _facts(file: GraphFile, nodes: tuple[NodeView, ...]) -> tuple[Fact, ...]:
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
        Fact("Nodes", f"{len(nodes):,}", f"The file holds {', '.join(counts)}."),
        Fact(
            "Links",
            f"{len(file.links):,}",
            "Shares, influence and paths are computed from these alone: what was pruned before "
            "the file was written is not in it.",
        ),
        _influence_fact(file),
    ]
    if file.groups:
        n_grouped = sum(len(group.members) for group in file.groups)
        facts.append(
            Fact("Supernodes", f"{len(file.groups)} of {n_grouped} nodes", "Named in the file.")
        )
    if file.generator:
        made_by = shorten(file.generator, LONGEST_TOKEN)
        facts.append(Fact("Made by", made_by, "The program that wrote the file, by its own words."))
    return tuple(facts)


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
