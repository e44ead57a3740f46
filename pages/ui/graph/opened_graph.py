"""An opened graph file with what the visitor makes of it, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import circuitscope_core as cs
from circuitscope_core.circuit import Circuit, node_indices
from circuitscope_core.export import Opening, render_view
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import (
    circuit_of_file,
    circuit_scores,
    edit_graph_json,
    groups_of_file,
    layout_graph_file,
    prune_circuit,
    with_labels,
)
from circuitscope_core.supernodes import Supernodes, cluster_features, group_by_hand
from circuitscope_core.tokenizer import ByteTokenizer, Tokenizer
from circuitscope_core.view import GraphView, group_name
from pages.ui.graph.canvas_events import Event, apply_event, label_of_event
from pages.ui.shared.component import opening_of
from pages.ui.shared.groups import Group, Groups
from pages.ui.shared.state import State

LONGEST_HISTORY = 50


@dataclass(frozen=True)
class Cards:
    """Feature cards that the visitor put beside a file."""

    cards: cs.FeatureCards
    tokenizer: Tokenizer
    said: str
    """Where they are from, in a few words."""


@dataclass(frozen=True)
class Opened:
    """A graph file that was accepted."""

    name: str
    data: bytes
    file: cs.GraphFile

    @cached_property
    def circuit(self) -> Circuit:
        """All that the file holds."""
        return circuit_of_file(self.file)


@dataclass(frozen=True)
class FileWork:
    """Everything that the visitor chose for an opened file."""

    state: State
    """Selection, pins, places, supernodes and view; the rest of it is the prompt's and unused."""
    opening: State
    """The state with which the canvas opens: that of the picture's last change."""
    number: int
    """Which of the session's files this is about."""
    node_threshold: float = 1.0
    edge_threshold: float = 1.0
    similarity: float | None = None
    """The similarity of suggested supernodes; None for the file's own."""
    labels: tuple[tuple[str, str], ...] = ()
    """The visitor's, by the ids of features."""
    past: tuple[Groups | None, ...] = ()
    """The visitor's supernodes before each change, the oldest first; None for no own ones."""
    cards: Cards | None = field(default=None, compare=False)

    def change(self, **changes: object) -> "FileWork":
        """Return the work after a change of the picture, in which the canvas keeps its state."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        return replace(changed, opening=changed.state)

    def regroup(self, groups: Groups | None) -> "FileWork":
        """Return the work with other supernodes; the change can be undone."""
        past = (*self.past, self.state.groups)[-LONGEST_HISTORY:]
        return replace(self, state=replace(self.state, groups=groups), past=past)

    def undo(self) -> "FileWork":
        """Return the work with the supernodes before the last change."""
        if not self.past:
            return self
        state = replace(self.state, groups=self.past[-1])
        return self.change(state=state, past=self.past[:-1])

    def look_at(self, view: str, **changes: object) -> "FileWork":
        """Return the work after a change with which the canvas goes to a view."""
        state = replace(self.state, view=view, serial=self.state.serial + 1)
        return self.change(**{**changes, "state": state})


@dataclass(frozen=True)
class ShownFile:
    """A picture of an opened file."""

    circuit: Circuit
    supernodes: Supernodes
    view: GraphView
    text: str
    """The view's JSON."""


CHANGES_OF_A_FILE = 100_000
"""The canvas starts afresh with each serial; this number of them belongs to one file."""


def first_work(opened: Opened, number: int) -> FileWork:
    """Return the work on a file that was just opened: as the file says."""
    file, serial = opened.file, number * CHANGES_OF_A_FILE
    view = "groups" if file.groups else "full"
    state = State(pinned=file.pinned, serial=serial, view=view)
    return FileWork(state, state, number)


def show_file(opened: Opened, work: FileWork) -> ShownFile:
    """Prune, group and lay out an opened file.

    Raises:
        CircuitScopeError: If the file cannot be pruned, or a card is damaged.
    """
    part = prune_circuit(opened.circuit, work.node_threshold, work.edge_threshold)
    part = with_labels(part, dict(work.labels))
    groups = _supernodes(opened, work, part)
    beside = work.cards
    cards, tokenizer = (beside.cards, beside.tokenizer) if beside else (None, None)
    view = layout_graph_file(opened.file, part, groups, cards, tokenizer)
    return ShownFile(part, groups, view, view.to_text())


def _supernodes(opened: Opened, work: FileWork, circuit: Circuit) -> Supernodes:
    own = work.state.groups
    if own is not None:
        return group_by_hand(
            circuit, ((group.label, node_indices(circuit, group.members)) for group in own)
        )
    if work.similarity is not None:
        return cluster_features(circuit, None, work.similarity, likeness="role")
    return groups_of_file(opened.file, circuit)


def groups_shown(shown: ShownFile) -> Groups:
    """Return the supernodes of a picture, by the ids of their nodes."""
    circuit = shown.circuit
    return tuple(
        Group(
            group_name(circuit, group),
            tuple(sorted(circuit.ids[circuit.row_of[member]] for member in group.members)),
        )
        for group in shown.supernodes.merged
    )


def ids_behind(shown: ShownFile, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids of the nodes behind nodes and supernodes of a picture."""
    tiles = shown.view.groups.nodes if shown.view.groups else ()
    members: Mapping[str, tuple[str, ...]] = {node.id: node.members for node in tiles}
    found = (node for name in names for node in members.get(name) or (name,))
    return tuple(dict.fromkeys(name for name in found if name in shown.circuit.rows))


def apply_events(work: FileWork, shown: ShownFile, events: tuple[Event, ...]) -> FileWork:
    """Return the work after events of the canvas, each of which can be undone by itself."""
    for event in events:
        work = _apply_one(work, shown, event)
        if event.get("event") == "undo":
            work = work.undo()
    return work


def _apply_one(work: FileWork, shown: ShownFile, event: Event) -> FileWork:
    """Return the work after an event; one that changes the picture sends it anew."""
    state, labels = apply_event(work.state, event, groups_shown(shown)), dict(work.labels)
    named = label_of_event(event)
    if named is not None:
        labels |= dict.fromkeys(same_feature(shown.circuit, *named[:2]), named[2])
    changed = replace(work, labels=tuple(sorted(labels.items())))
    if state.groups != work.state.groups:
        changed = changed.regroup(state.groups)
    same = (changed.labels, state.groups) == (work.labels, work.state.groups)
    changed = replace(changed, state=state)
    return changed if same else changed.change()


def same_feature(circuit: Circuit, layer: int, feature: int) -> tuple[str, ...]:
    """Return the ids of a feature's nodes, at every token where it is active."""
    is_it = (circuit.layers == layer) & (circuit.features == feature)
    rows = (is_it & circuit.are(NodeKind.FEATURE)).nonzero()[:, 0].tolist()
    return tuple(circuit.ids[row] for row in rows)


def label_selected(work: FileWork, shown: ShownFile, label: str) -> FileWork:
    """Return the work with a name for the selected feature, at every token."""
    circuit, selected = shown.circuit, work.state.selected
    row = circuit.rows.get(selected)
    if row is None:
        return work
    node = circuit.node(row)
    ids = same_feature(circuit, node.layer, node.feature) if node.feature >= 0 else (selected,)
    labels = {**dict(work.labels), **dict.fromkeys(ids, label)}
    return work.change(labels=tuple(sorted(labels.items())))


def chosen_feature(work: FileWork, shown: ShownFile) -> int | None:
    """Return the row of the selected feature; None where something else is selected, or nothing."""
    row = shown.circuit.rows.get(work.state.selected)
    if row is None or shown.circuit.node(row).kind is not NodeKind.FEATURE:
        return None
    return row


def json_of_file(opened: Opened, work: FileWork, shown: ShownFile) -> str:
    """Return the file as JSON with what the visitor made of it."""
    selected = ids_behind(shown, (work.state.selected or opened.file.selected,))
    opening = Opening(
        selected=next(iter(selected), ""), pinned=ids_behind(shown, work.state.pinned)
    )
    return edit_graph_json(opened.data, shown.circuit, supernodes=shown.supernodes, opening=opening)


def page_of_file(work: FileWork, shown: ShownFile) -> str:
    """Return the picture as one HTML page that opens as the canvas is now."""
    return render_view(shown.view, opening_of(work.state))


def describe_scores(opened: Opened, work: FileWork, shown: ShownFile) -> str:
    """Return the scores of what the file holds, and of what is pinned, in sentences."""
    whole = opened.circuit
    scores = circuit_scores(whole)
    if scores is None:
        return "The file gives its outputs no probabilities, so nothing can be scored or pruned."
    lines = [
        f"Replacement score {scores.replacement:.2f}, completeness score "
        f"{scores.completeness:.2f}: of all links in the file, wherever the thresholds are. Nodes "
        "that were pruned before it was written are not in it, so these are no scores of the "
        "whole graph."
    ]
    are = whole.are(NodeKind.FEATURE)
    pinned = ids_behind(shown, work.state.pinned)
    features = [name for name in pinned if are[whole.rows[name]]]
    of_pinned = circuit_scores(whole, features) if features else None
    if of_pinned is not None:
        lines.append(
            f"With pinned features alone ({len(features)}), the others counted as errors: "
            f"{of_pinned.replacement:.2f} and {of_pinned.completeness:.2f}."
        )
    return " ".join(lines)


def describe_groups(work: FileWork, shown: ShownFile) -> str:
    """Return how many supernodes are shown and whose they are; empty where there are none."""
    n = len(shown.supernodes.merged)
    if work.state.groups is not None:
        whose = "of your own"
    elif work.similarity is not None:
        whose = f"suggested at a similarity of {work.similarity:.2f}"
    else:
        whose = "of the file" if n else ""
    return f"{n or 'No'} supernode{'' if n == 1 else 's'} {whose}." if whose else ""


def cards_without_tokens(cards: cs.FeatureCards, said: str) -> Cards:
    """Return cards whose tokens are texts."""
    return Cards(cards, ByteTokenizer(), said)
