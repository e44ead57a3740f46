"""Train a model in a process of its own, and watch it."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.runs import (
    TrainingRequest,
    begun_config,
    begun_sources,
    cancel_training,
    list_runs,
    start_training,
    training_state,
)
from circuitscope_core.training import RunFolder
from pages.ui import begin_page, models
from pages.ui.comparing import draw_comparison
from pages.ui.text import plain
from pages.ui.training_form import ask_for_training
from pages.ui.training_view import draw_training

begin_page("Train")
runs = list_runs(models.MODELS)
watched = next((name for name in runs if name), None)
folder = RunFolder.for_bundle(models.MODELS / watched) if watched else None
live = folder is not None and training_state(folder).status == "running"


@st.fragment(run_every=1.0 if live else None)
def watch() -> None:
    """Draw the training; when it ends, run the whole page once more."""
    assert folder is not None
    state = training_state(folder)
    if live and state.status != "running":
        st.session_state["train_ended"] = watched
        st.rerun()
    draw_training(state, begun_config(folder))


def resume() -> None:
    """Go on with the training that was begun, from its last checkpoint."""
    assert folder is not None
    assert watched is not None
    config = begun_config(folder)
    if config is not None:
        start_training(TrainingRequest(config, begun_sources(folder), models.MODELS, watched))


if folder is not None and watched is not None:
    state = training_state(folder)
    st.subheader(f"“{plain(watched)}” is {'being trained' if live else 'not finished'}")
    if state.status == "failed":
        st.error(f"The training stopped: {plain(state.message)}")
    elif not live:
        st.warning(plain(state.message) or "The training was interrupted.")
    one, two, _ = st.columns([1, 1, 4])
    if live and one.button("Cancel", key="train_cancel", help="A checkpoint is saved first."):
        cancel_training(folder)
    if not live and one.button("Resume", type="primary", key="train_resume"):
        resume()
        st.rerun()
    if not live and two.button("Discard", key="train_discard"):
        folder.discard()
        st.rerun()
    watch()
else:
    ended = st.session_state.pop("train_ended", None)
    if ended and (models.MODELS / ended / "bundle.json").is_file():
        st.success(f"“{plain(ended)}” is trained. Choose it in the sidebar and type a prompt.")
        st.page_link("pages/prompt.py", label="Type a prompt", icon=":material/edit:")
    request = ask_for_training(models.MODELS)
    if st.button("Train", type="primary", key="train_start", disabled=request is None):
        try:
            start_training(request)
        except cs.CircuitScopeError as error:
            st.error(plain(str(error)))
        else:
            st.rerun()
draw_comparison()
