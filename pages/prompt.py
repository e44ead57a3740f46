"""Type a prompt, see what the model expects next, and build the graph."""

import time

import streamlit as st

from pages.ui.prompt.answer import draw_answer
from pages.ui.prompt.examples import offer_examples
from pages.ui.prompt.prompt_form import (
    StepReport,
    ask_for_prompt,
    ask_for_settings,
    ask_for_target,
    check_target,
)
from pages.ui.prompt.reading import ask_for_form, draw_reading
from pages.ui.prompt.second_prompt import ask_for_second_prompt, draw_second_prediction
from pages.ui.shared.menu import link_to
from pages.ui.shared.models import load_model, model_key
from pages.ui.shared.page import begin_page, page_errors
from pages.ui.shared.prediction import draw_prediction
from pages.ui.shared.prompts import prompt_of
from pages.ui.shared.session import change_state, get_state, leave_graph
from pages.ui.shared.state import State
from pages.ui.shared.tracing import show, tracing_of


def build(state: State) -> None:
    """Build the graph, naming each step as it begins."""
    started = time.perf_counter()
    with st.status("Building the graph …", expanded=True) as status:
        stop = st.empty()
        stop.button("Cancel", key="prompt_cancel")  # a click ends this run at its next step
        shown = show(tracing_of(state), state, on_step=StepReport())
        seconds = time.perf_counter() - started
        stop.empty()
        graph = shown.pruned.graph
        nodes = "active features" if graph.choice is None else "neurons"
        st.write(
            f"{graph.n_features:,} {nodes}, {graph.n_edges:,} exact direct effects; "
            f"{shown.pruned.n_nodes:,} of {graph.n_nodes:,} nodes kept."
        )
        status.update(
            label=f"The graph is ready ({seconds:.1f} s)", state="complete", expanded=True
        )
    link_to("graph", "Show the graph")


begin_page("Prompt")
with page_errors():
    key = model_key(get_state().model)
    bundle = load_model(key)
    left, right = st.columns([3, 2], gap="large")
    with left:
        state = ask_for_prompt(get_state())
        offer_examples(bundle)
        state = ask_for_form(state, bundle)
        draw_reading(state, bundle)
        asked = ask_for_target(state, neurons=bundle.transcoder.shape.exact)
        state = change_state(**vars(asked))
        draw_answer(state, bundle)
        if bundle.transcoder.shape.exact:
            state = ask_for_second_prompt(state, bundle)
        state = ask_for_settings(state)
        ready = st.button("Build the graph", type="primary", key="prompt_build")
    with right:
        st.header("Most likely next")
        draw_prediction(key, prompt_of(state, bundle))
        if bundle.transcoder.shape.exact:
            draw_second_prediction(key, state, bundle)
    if ready:
        with left:
            check_target(state)
            state = leave_graph()
            build(state)
