"""One training that was begun: watched, cancelled, gone on with or discarded."""

from typing import Any

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
from pages.ui.train.answers import discard_training, keep_answers
from pages.ui.train.numbers import Unfinished
from pages.ui.train.progress import draw_training
from pages.ui.train.train_form import ask_for_training
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
    st.header(f"“{plain(name)}” is {'being trained' if live else 'not finished'}")
    if state.status == "failed":
        st.error(f"The training stopped: {plain(state.message)}")
    elif not live:
        st.warning(plain(state.message) or "The training was interrupted.")
    one, two, _ = st.columns([1, 1.4, 4])
    if live:
        draw_cancel(one, folder, stopping=state.stopping)
    else:
        draw_choices((one, two), folder, request)

    @st.fragment(run_every=1.0 if live else None)
    def watch() -> None:
        now = training_state(folder)
        if live and now.status != "running":  # it has ended: the rest of the page changes too
            st.session_state["train_ended"] = name
            st.rerun()
        if now.stopping != state.stopping:  # another window asked it to
            st.rerun()
        draw_training(now, request.config if request else None)

    watch()


def draw_choices(
    places: tuple[Any, Any], folder: RunFolder, request: TrainingRequest | None
) -> None:
    """Offer to go on with a training that stopped, or to begin again with the form as it was."""
    resume = places[0].button(
        "Resume", type="primary", key="train_resume", disabled=request is None
    )
    if resume and start(request):
        st.rerun()
    nothing_done = has_done_nothing(folder)
    places[1].button(
        "Change the settings" if nothing_done else "Discard",
        key="train_discard",
        help="Back to the form, with all answers as they were. "
        + ("Nothing is trained yet." if nothing_done else "The training so far is deleted."),
        on_click=discard_training,
        args=(folder,),
    )


def has_done_nothing(folder: RunFolder) -> bool:
    """Tell whether a training stopped before its first checkpoint."""
    try:
        return max(folder.progress()) < 0
    except cs.TrainingError:  # a checkpoint that cannot be read is one
        return False


def draw_cancel(place: Any, folder: RunFolder, *, stopping: bool) -> None:
    """Offer to stop a training; one that was asked to says so until it has."""
    place.button(
        "Stopping …" if stopping else "Cancel",
        key="train_cancel",
        disabled=stopping,
        help="The step at work is finished and a checkpoint saved; it can go on from there later.",
        on_click=cancel_training,
        args=(folder,),
    )


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
        st.success(
            f"“{plain(ended)}” is trained. Choose it at the top of a page and type a prompt."
        )
        link_to("prompt", "Type a prompt")
    asked = ask_for_either()
    button, reason = st.columns([1, 5], vertical_alignment="center")
    open_question = isinstance(asked, Unfinished)
    if button.button("Train", type="primary", key="train_start", disabled=open_question):
        assert isinstance(asked, TrainingRequest)
        if start(asked):
            keep_answers(asked.folder, asked.sources[0])
            st.rerun()
    if isinstance(asked, Unfinished):
        reason.caption(plain(asked.reason))


def ask_for_either() -> TrainingRequest | Unfinished:
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


def start(request: TrainingRequest | None) -> bool:
    """Start a training, or say why not; returns whether it was started."""
    if request is None:
        return False
    try:
        spare_demo(request)
        start_training(request)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return False
    return True


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
