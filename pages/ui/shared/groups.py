"""Supernodes as a visitor edits them: named sets of node ids, and what can be done to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import circuitscope_core as cs
from circuitscope_core.circuit import circuit_of, node_indices
from circuitscope_core.view import group_name

LONGEST_LABEL = 120


@dataclass(frozen=True)
class Group:
    """A supernode: a name, empty where its members' own will do, and ids of its nodes."""

    label: str
    members: tuple[str, ...]


Groups = tuple[Group, ...]


def join(groups: Groups, members: Sequence[str], label: str = "") -> Groups:
    """Return the groups with some nodes taken out of theirs and made into one."""
    wanted = tuple(sorted(set(members)))
    if len(wanted) < 2:
        return groups
    rest = (
        Group(group.label, tuple(name for name in group.members if name not in wanted))
        for group in groups
    )
    kept = [group for group in rest if len(group.members) > 1]
    return (*kept, Group(clean(label), wanted))


def split(groups: Groups, members: Sequence[str]) -> Groups:
    """Return the groups without the one of these members."""
    return tuple(group for group in groups if set(group.members) != set(members))


def rename(groups: Groups, members: Sequence[str], label: str) -> Groups:
    """Return the groups with another name for the one of these members."""
    return tuple(
        Group(clean(label), group.members) if set(group.members) == set(members) else group
        for group in groups
    )


def clean(label: str) -> str:
    """Return a label in one line of bounded length."""
    return " ".join(label.split())[:LONGEST_LABEL]


def groups_of(pruned: cs.PrunedGraph, supernodes: cs.Supernodes) -> Groups:
    """Return a partition's groups of two or more, by the ids of their nodes."""
    circuit = circuit_of(pruned)
    return tuple(
        Group(
            group_name(circuit, group),
            tuple(sorted(circuit.ids[circuit.row_of[member]] for member in group.members)),
        )
        for group in supernodes.merged
    )


def to_supernodes(pruned: cs.PrunedGraph, groups: Groups) -> cs.Supernodes:
    """Return the partition that the groups make of a pruned graph; other nodes are left out."""
    circuit = circuit_of(pruned)
    chosen = ((group.label, node_indices(circuit, group.members)) for group in groups)
    return cs.group_by_hand(circuit, chosen)
