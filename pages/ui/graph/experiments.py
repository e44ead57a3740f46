"""Interventions as the Graph page needs them, computed once for all visitors."""

from dataclasses import dataclass

from circuitscope_core.errors import CircuitScopeError, GraphError
from circuitscope_core.interventions import (
    Continuation,
    Experiment,
    Handle,
    Mode,
    NodeChange,
    Sweep,
    changes_of,
    continue_prompt,
    node_changes,
    run_experiment,
    sweep,
)
from pages.ui.shared.models import load_model
from pages.ui.shared.state import State, Step
from pages.ui.shared.tracing import Shown, members_of, pass_of_graph, recent_views

STRENGTHS = tuple(step / 2 for step in range(-4, 9))
"""Factors of a sweep, from twice the opposite to four times as strong."""
CONTINUED_TOKENS = 20


@dataclass(frozen=True)
class Outcome:
    """The effect of an intervention."""

    experiment: Experiment
    changes: dict[str, NodeChange]
    """By the id of a node or a supernode of the picture."""


def handles_of(shown: Shown, steps: tuple[Step, ...]) -> tuple[Handle, ...]:
    """Return the changes that steps stand for; nodes that are no longer there are left out."""
    found = []
    for step in steps:
        nodes = tuple(dict.fromkeys(n for name in step.nodes for n in nodes_of(shown, name)))
        if nodes:
            found.append(Handle(nodes, step.how, step.strength))
    return tuple(found)


def nodes_of(shown: Shown, name: str) -> tuple[int, ...]:
    """Return the graph's nodes behind a name, features that pruning dropped included."""
    found = members_of(shown, name)
    parts = name.split("_")
    if found or len(parts) != 3 or not all(part.isdigit() for part in parts):
        return found
    layer, feature, position = map(int, parts)
    try:
        return (shown.pruned.graph.index_of_feature(layer, position, feature),)
    except GraphError:
        return ()


def outcome_of(shown: Shown, handles: tuple[Handle, ...], mode: Mode) -> Outcome:
    """Return the effect of an intervention.

    Raises:
        GraphError: If a node is changed twice, or cannot be changed in this way.
    """
    graph = shown.pruned.graph

    def compute() -> Outcome:
        experiment = run_experiment(graph, pass_of_graph(shown), handles, mode)
        pictures = (shown.view.full, shown.view.groups or shown.view.full)
        names = {node.id for picture in pictures for node in picture.nodes}
        members = {name: members_of(shown, name) for name in sorted(names)}
        return Outcome(experiment, node_changes(experiment, graph, members))

    return recent_views().get(("try", shown.tracing, shown.view.digest, handles, mode), compute)


def sweep_of(shown: Shown, handles: tuple[Handle, ...], mode: Mode) -> Sweep:
    """Return the output at several strengths of the last change."""
    graph = shown.pruned.graph
    *others, last = handles
    how = "scale" if last.how == "ablate" else last.how
    strengths = STRENGTHS
    if how == "set":
        most = max(1.0, abs(last.strength), float(graph.activations[list(last.nodes)].max()))
        strengths = tuple(most * strength for strength in STRENGTHS)

    def compute() -> Sweep:
        swept = (*others, Handle(last.nodes, how, 0.0))
        return sweep(graph, pass_of_graph(shown), swept, strengths, mode)

    return recent_views().get(("sweep", shown.tracing, handles, mode), compute)


def continuation_of(shown: Shown, handles: tuple[Handle, ...], mode: Mode) -> Continuation:
    """Return the continuation of the text that the model read, with the changes in force."""
    graph = shown.pruned.graph

    def compute() -> Continuation:
        changes = changes_of(graph, handles)
        tokens = graph.token_ids.tolist()
        n_tokens = CONTINUED_TOKENS
        return continue_prompt(
            load_model(shown.tracing.model), tokens, changes, n_tokens=n_tokens, mode=mode
        )

    return recent_views().get(("go on", shown.tracing, handles, mode), compute)


def canvas_changes(shown: Shown, state: State) -> dict[str, tuple[float, float]]:
    """Return the labels beside changed nodes: the change measured, and the one predicted."""
    try:
        outcome = outcome_for(shown, state)
    except CircuitScopeError:
        return {}  # the panel below says why
    if outcome is None:
        return {}
    return {
        name: (round(change.measured, 4), round(change.predicted, 4))
        for name, change in outcome.changes.items()
    }


def outcome_for(shown: Shown, state: State) -> Outcome | None:
    """Return the effect of the visitor's changes; None if there are none."""
    handles = handles_of(shown, state.steps)
    return outcome_of(shown, handles, state.mode) if handles else None
