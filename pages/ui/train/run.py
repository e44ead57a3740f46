"""One training that was begun: watched, cancelled, gone on with or discarded."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.bundle import record_file
from circuitscope_core.launch import (
    TrainingRequest,
    cancel_training,
    start_training,
    training_state,
)
from circuitscope_core.training import RunFolder
from pages.ui.shared import models
from pages.ui.shared.errors import draw_error
from pages.ui.shared.menu import link_to
from pages.ui.shared.text import plain
from pages.ui.train.form import ask_for_training
from pages.ui.train.progress import draw_training
from pages.ui.train.transcoder_form import ask_for_transcoder

KINDS = {
    "both": "A small model and its transcoder",
    "transcoder": "A transcoder for a model I added",
}


def draw_begun_training(name: str) -> None:
    """Draw a training and what can be done with it."""
    folder = RunFolder.for_bundle(models.MODELS / name)
    state = training_state(folder)
    request = read_request(folder)
    live = state.status == "running"
    st.subheader(f"“{plain(name)}” is {'being trained' if live else 'not finished'}")
    if state.status == "failed":
        st.error(f"The training stopped: {plain(state.message)}")
    elif not live:
        st.warning(plain(state.message) or "The training was interrupted.")
    one, two, _ = st.columns([1, 1, 4])
    if live and one.button("Cancel", key="train_cancel", help="A checkpoint is saved first."):
        cancel_training(folder)
    if not live and one.button(
        "Resume", type="primary", key="train_resume", disabled=request is None
    ):
        start(request)
    if not live and two.button("Discard", key="train_discard"):
        folder.discard()
        st.rerun()

    @st.fragment(run_every=1.0 if live else None)
    def watch() -> None:
        now = training_state(folder)
        if live and now.status != "running":  # it has ended: the rest of the page changes too
            st.session_state["train_ended"] = name
            st.rerun()
        draw_training(now, request.config if request else None)

    watch()


def read_request(folder: RunFolder) -> TrainingRequest | None:
    """Return the request of a begun training; None, with the reason shown, if it cannot be
    resumed here."""
    try:
        request = TrainingRequest.load(folder)
    except cs.TrainingError as error:
        draw_error(error)
        return None
    if request is None:
        st.info("This training was begun on the command line; go on with it there.")
    return request


def offer_training() -> None:
    """Ask for a training and start it; of one that has just ended, say so."""
    ended = st.session_state.pop("train_ended", None)
    if ended and record_file(models.MODELS / ended):
        st.success(f"“{plain(ended)}” is trained. Choose it in the sidebar and type a prompt.")
        link_to("prompt", "Type a prompt")
    request = ask_for_either()
    if st.button("Train", type="primary", key="train_start", disabled=request is None):
        start(request)


def ask_for_either() -> TrainingRequest | None:
    """Ask for a model with its transcoder, or for a transcoder of a model that was added."""
    kind = st.radio(
        "What to train",
        list(KINDS),
        format_func=KINDS.__getitem__,
        key="train_kind",
        horizontal=True,
    )
    if kind == "both":
        return ask_for_training(models.MODELS)
    return ask_for_transcoder(models.MODELS)


def start(request: TrainingRequest | None) -> None:
    """Start a training, or say why not."""
    if request is None:
        return
    try:
        spare_demo(request)
        start_training(request)
    except cs.CircuitScopeError as error:
        draw_error(error)
    else:
        st.rerun()


def spare_demo(request: TrainingRequest) -> None:
    """Refuse a training that would replace the bundled model, whoever began it.

    Raises:
        TrainingError: If it would.
    """
    if request.name == models.DEMO and record_file(request.out):
        raise cs.TrainingError(
            "The model “demo” comes with the app, which does not replace it. Discard this "
            "training, or go on with it on the command line."
        )
