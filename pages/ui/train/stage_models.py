"""Models in a Snowflake stage: fetch one into the app, keep one there."""

from pathlib import Path
from typing import Any

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.bundle import list_bundles
from circuitscope_core.launch import check_name
from circuitscope_core.pipeline import numbered
from circuitscope_core.stages import open_store
from pages.ui.shared import models
from pages.ui.shared.errors import draw_error
from pages.ui.shared.snowflake import current_session
from pages.ui.shared.text import plain

PLACE = "@CIRCUITSCOPE.APP.MODELS"


def draw_stage_models() -> None:
    """Draw the models of the stage, if there is a connection."""
    session = current_session()
    if session is None:
        return
    st.header("Models in Snowflake")
    st.caption(
        "A model that is trained here lies in the app's own folder. A copy in a stage outlives it, "
        "and other apps and notebooks can fetch it."
    )
    place = st.text_input("Stage for models", PLACE, key="train_models_place").strip()
    try:
        there = read_bundles(session, place)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return
    left, right = st.columns(2, gap="large")
    with left:
        offer_fetching(session, place, there)
    with right:
        offer_keeping(session, place, there)


def offer_fetching(session: Any, place: str, there: tuple[str, ...]) -> None:
    """Let the visitor copy a model from the stage into the app."""
    if not there:
        st.caption("The stage holds no model yet.")
        return
    name = st.selectbox("In the stage", there, key="train_fetch")
    taken = tuple(path.name for path in models.MODELS.glob("*"))
    own = ask_for_name("Name in this app", name.rpartition("/")[2], taken, key="train_fetch_name")
    if st.button(
        "Fetch into this app",
        key="train_fetch_start",
        icon=":material/download:",
        disabled=not own,
    ):
        with st.spinner("Fetching the model …"):
            carry(session, f"{place}/{name}", own, said=f"“{own}” is in this app's models.")


def offer_keeping(session: Any, place: str, there: tuple[str, ...]) -> None:
    """Let the visitor copy one of the app's models into the stage."""
    name = st.selectbox("In this app", models.list_trained(), key="train_keep")
    if not name:
        return
    its = ask_for_name("Name in the stage", name, there, key="train_keep_name")
    if st.button(
        "Keep in the stage", key="train_keep_start", icon=":material/upload:", disabled=not its
    ):
        with st.spinner("Writing to the stage …"):
            carry(session, name, f"{place}/{its}", said=f"“{its}” is in {place}.")
        read_bundles.clear()


def ask_for_name(label: str, wanted: str, taken: tuple[str, ...], key: str) -> str:
    """Ask for the name of a copy; empty, with the reason shown, if a model has it."""
    free = next(name for name in numbered(wanted) if name not in taken)
    name = st.text_input(label, free, key=f"{key}_{free}", max_chars=64).strip()
    if name in taken:
        st.error(plain(f"There is a model “{name}” already; a copy would replace it."))
        return ""
    return name


def carry(session: Any, source: str, target: str, said: str) -> None:
    """Copy a model between the app and a stage, and say how it went."""
    try:
        cs.copy_bundle(place_of(source), place_of(target), session=session)
    except cs.CircuitScopeError as error:
        draw_error(error)
    else:
        st.success(plain(said))


def place_of(name: str) -> str | Path:
    """Return a place in a stage as it is, and the folder of one of the app's models.

    Raises:
        TrainingError: If no model may be called so.
    """
    return name if name.startswith("@") else models.MODELS / check_name(name)


@st.cache_data(ttl=60, show_spinner="Looking into the stage …")
def read_bundles(_session: Any, place: str) -> tuple[str, ...]:
    return list_bundles(open_store(place, session=_session))
