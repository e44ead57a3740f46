"""The tab Intervene: change nodes in the model, and see what follows."""

import altair as alt
import pandas as pd
import streamlit as st

import circuitscope_core as cs
from circuitscope_core.interventions import Experiment, Handle, How, Mode, Sweep
from pages.ui.graph.experiments import Outcome, continuation_of, handles_of, outcome_of, sweep_of
from pages.ui.graph.patching import draw_patching
from pages.ui.graph.selected_node import draw_check, draw_trial, selected_of
from pages.ui.shared.errors import draw_error
from pages.ui.shared.session import change_state, get_state
from pages.ui.shared.state import MODES, State, Step
from pages.ui.shared.tables import Column, Columns, draw_table, number, share
from pages.ui.shared.tracing import Shown, label_of, members_of

HOW_TEXT: dict[How, str] = {"ablate": "Switch off", "scale": "Scale", "set": "Set"}
MODE_TEXT: dict[Mode, str] = {
    "direct": "nothing else",
    "constrained": "later layers",
    "iterative": "everything",
}
MODE_HELP = (
    "The parts that react to the change. Nothing else: attention, norms and MLPs stay as they "
    "were, which is what the graph's edges say, exactly. Later layers: the model's own layers "
    "above those that changed run on, with attention patterns as they were. Everything: features "
    "are encoded again at every layer, and attention is free."
)
MOST_CHANGES = 12


def draw_intervene_tab(shown: Shown, state: State) -> None:
    """Let the visitor change nodes, and draw what the model does then."""
    draw_intervening(shown, state)
    draw_check(shown, selected_of(shown, state))
    draw_trial(shown, state.selected)
    draw_patching(shown)


def draw_intervening(shown: Shown, state: State) -> None:
    """Ask for a change, and draw the changes that are made with all that follows from them."""
    st.header("Change the model")
    ask_for_step(shown, state)
    handles = handles_of(shown, state.steps)
    if not handles:
        st.caption(
            "A change is made in the model itself; what the graph predicts stands beside it, and "
            "each changed node's change in the picture."
        )
        return
    draw_steps(shown, state)
    try:
        outcome = outcome_of(shown, handles, state.mode)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return
    answered = shown.pruned.graph.answer is not None
    draw_outputs(outcome.experiment, state.mode, "Answer" if answered else "Next token")
    draw_continuations(shown, handles, state.mode)
    draw_sweep(sweep_of(shown, handles, state.mode), handles[-1])
    draw_changes(shown, outcome)


def can_change(shown: Shown, selected: str) -> bool:
    """Tell whether a node can be changed: an output cannot, since nothing reads it."""
    graph = shown.pruned.graph
    members = members_of(shown, selected) if selected else ()
    return bool(members) and max(members) < graph.logit_nodes.start


def ask_for_step(shown: Shown, state: State) -> None:
    """Ask for a change of the selected node, or of the one that the graph's story names."""
    story = shown.view.story
    names = (state.selected, story.source if story else "")
    name = next((name for name in names if can_change(shown, name)), "")
    if not name:
        st.caption(":material/touch_app: Select a feature, a token, an error or a supernode.")
        return
    st.text(f"Selected: {label_of(shown, name)}")
    chosen = st.segmented_control(
        "Do", list(HOW_TEXT), default="ablate", format_func=HOW_TEXT.__getitem__, key="graph_how"
    )
    value = 0.0
    if chosen == "scale":
        value = st.slider("Times its strength", -2.0, 4.0, 2.0, 0.25)
    elif chosen == "set":
        value = st.number_input("Activation", value=1.0, step=0.5, key="graph_set_to")
    step = Step((name,), chosen or "ablate", float(value))
    st.button("Apply", type="primary", key="graph_apply", on_click=add_step, args=(step,))


def add_step(step: Step) -> None:
    """Add a change; one of the same nodes is replaced."""
    rest = tuple(item for item in get_state().steps if item.nodes != step.nodes)
    change_state(steps=(*rest, step))


def undo_step() -> None:
    """Take the last change back."""
    change_state(steps=get_state().steps[:-1])


def clear_steps() -> None:
    """Take all changes back."""
    change_state(steps=())


def choose_mode() -> None:
    """Take over what is to react."""
    change_state(mode=st.session_state["graph_mode"] or "constrained")


def draw_steps(shown: Shown, state: State) -> None:
    """Draw the present changes with buttons to undo them, and ask for the mode."""
    st.text("\n".join(describe_step(shown, step) for step in state.steps))
    with st.container(horizontal=True, gap="small"):
        st.button("Take back", key="graph_undo_step", on_click=undo_step)
        st.button("Clear", key="graph_clear_steps", on_click=clear_steps)
    st.session_state.setdefault("graph_mode", state.mode)
    st.segmented_control(
        "What reacts",
        MODES,
        format_func=MODE_TEXT.__getitem__,
        key="graph_mode",
        on_change=choose_mode,
        help=MODE_HELP,
    )


def describe_step(shown: Shown, step: Step) -> str:
    """Return one change as a line."""
    names = ", ".join(label_of(shown, name) for name in step.nodes)
    if step.how == "ablate":
        return f"{names}: switched off"
    verb = "times" if step.how == "scale" else "set to"
    return f"{names}: {verb} {step.strength:g}"


def draw_outputs(experiment: Experiment, mode: Mode, title: str) -> None:
    """Draw the likeliest next tokens, or those of an answer, before and after.

    A norm that is free scales all logits alike, which no edge tells: their changes are compared
    where norms are frozen.
    """
    columns: dict[str, Column] = {
        "token": title,
        "probability_before": share("Before"),
        "probability_after": share("After"),
    }
    if mode == "direct":
        columns["predicted"] = number("Logit change: graph", "%+.3f")
        columns["measured"] = number("model", "%+.3f")
    draw_table(experiment.outputs, columns, key="graph_outputs")


def draw_continuations(shown: Shown, handles: tuple[Handle, ...], mode: Mode) -> None:
    """Draw the continuation of the prompt before and after."""
    prompt = shown.pruned.graph.prompt[-40:]
    before = continuation_of(shown, (), mode)
    after = continuation_of(shown, handles, mode)
    st.caption("How the text continues: before, and after")
    st.code(f"{prompt}▸{before.text}\n{prompt}▸{after.text}", language=None, wrap_lines=True)


def draw_sweep(found: Sweep, last: Handle) -> None:
    """Draw the next token's probabilities over the strength of the last change."""
    rows = [
        {"strength": strength, "token": token, "probability": probability}
        for strength, row in zip(found.strengths, found.probabilities, strict=True)
        for token, probability in zip(found.tokens, row, strict=True)
    ]
    title = "Activation" if last.how == "set" else "Times its strength"
    now = 0.0 if last.how == "ablate" else last.strength
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("strength:Q", title=title),
            y=alt.Y("probability:Q", title="Probability", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("token:N", title=None, scale=alt.Scale(domain=list(found.tokens))),
            tooltip=["token", "strength", alt.Tooltip("probability", format=".1%")],
        )
    )
    here = alt.Chart(pd.DataFrame({"strength": [now]})).mark_rule(strokeDash=[4, 3])
    st.caption("The last change at other strengths; the dashed line is where it stands.")
    st.altair_chart((lines + here.encode(x="strength:Q")).properties(height=210), width="stretch")


def draw_changes(shown: Shown, outcome: Outcome) -> None:
    """Draw the changes of the other nodes, the largest first."""
    groups = shown.view.groups or shown.view.full
    rows = [
        {"node": node.label, "where": node.detail, **vars(outcome.changes[node.id])}
        for node in groups.nodes
        if node.id in outcome.changes
    ]
    rows.sort(key=lambda row: -abs(row["measured"]))
    moved = [row for row in rows if abs(row["measured"]) > 1e-4 or abs(row["predicted"]) > 1e-4]
    if not moved:
        st.caption("No other feature changes.")
        return
    st.caption(f"The {min(MOST_CHANGES, len(moved))} nodes and supernodes that change most")
    columns: Columns = {
        "node": "Node",
        "where": "Where",
        "predicted": number("Change: predicted by the graph", "percent"),
        "measured": number("measured in the model", "percent"),
    }
    draw_table(moved[:MOST_CHANGES], columns, key="graph_changes")
