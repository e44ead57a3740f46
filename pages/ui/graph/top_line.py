"""The line above the graph: the prompt, the model, the target, and drawers for the rest."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.prompt.prompt_form import ask_for_target, check_target
from pages.ui.shared.errors import draw_error
from pages.ui.shared.menu import link_to
from pages.ui.shared.models import load_model, model_key
from pages.ui.shared.session import get_state, leave_graph
from pages.ui.shared.state import State

NEW_LINE = "↵"
"""Stands for the end of a line in the field of one line."""
TARGET_NAME = {
    "automatic": "Next token",
    "answer": "Whole answer",
    "tokens": "My tokens",
    "difference": "One token, not another",
    "feature": "A feature",
}


def one_line_prompt(prompt: str) -> str:
    """Return a prompt for a field of one line; one that cannot be shown there is left as it is."""
    return prompt if NEW_LINE in prompt else prompt.replace("\n", NEW_LINE)


def ask_for_prompt_line() -> None:
    """Let the visitor edit the prompt in place; Enter traces it."""
    state = get_state()
    shown = one_line_prompt(state.prompt)
    is_known = "graph_prompt" in st.session_state  # not after a page without this field
    if not is_known or st.session_state.get("graph_prompt_of") != state.prompt:
        st.session_state["graph_prompt"] = shown
        st.session_state["graph_prompt_of"] = state.prompt
    st.text_input(
        "Prompt",
        key="graph_prompt",
        width="stretch",
        placeholder="Type the start of a text, and press Enter",
        on_change=trace_again,
        help="Enter builds the graph of this prompt.",
    )


def trace_again() -> None:
    """Leave the graph for that of the prompt that was typed."""
    typed = st.session_state["graph_prompt"]
    if NEW_LINE not in get_state().prompt:
        typed = typed.replace(NEW_LINE, "\n")
    leave_graph(prompt=typed)
    st.session_state.pop("prompt_text", None)


def offer_target() -> None:
    """Say what the graph explains, and offer to explain something else."""
    state = get_state()
    name = TARGET_NAME[state.target]
    if state.target == "feature":
        layer, position, number = [*state.feature.split("."), "", ""][:3]
        name = f"Feature {number} of layer {layer} at token {position}"
    with st.popover(name, icon=":material/target:", help="The output that the graph explains"):
        if state.target != "automatic":
            st.button(
                "Explain the next token", key="graph_explain_output", on_click=explain_next_token
            )
        try:
            neurons = load_model(model_key(state.model)).transcoder.shape.exact
            wanted = ask_for_target(state, neurons=neurons, page="graph")
        except cs.CircuitScopeError:
            return  # the page says why there is no model
        if st.button("Explain this", key="graph_explain_this", type="primary"):
            explain(wanted)
        link_to("prompt", "More settings")


def explain_next_token() -> None:
    """Leave the graph for that of the likeliest tokens."""
    leave_graph(target="automatic")


def explain(wanted: State) -> None:
    """Leave the graph for that of another target; one that is not filled in is refused."""
    try:
        check_target(wanted)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return
    fields = ("target", "tokens", "minus", "feature", "answer", "answer_tokens")
    leave_graph(**{field: getattr(wanted, field) for field in fields})
    st.rerun()
