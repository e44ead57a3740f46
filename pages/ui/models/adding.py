"""Adding a Hugging Face model: each step, and how it went."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.model_library import add_model_steps
from pages.ui.shared import models
from pages.ui.shared.allowed import check_place
from pages.ui.shared.device import chosen_device
from pages.ui.shared.errors import draw_error
from pages.ui.shared.snowflake import current_session
from pages.ui.shared.text import plain

ADDED = "models_added"
"""The model that was added last, in the session."""


def add(source: str, name: str | None, transcoder: str | None) -> None:
    """Add a model, naming each step as it begins; an error leaves nothing behind."""
    if not source:
        st.error(
            "No model was named. Type a folder, owner/name of a model on the hub, or a place in a "
            "stage."
        )
        return
    failed = None
    with st.status("Adding the model …", expanded=True) as status:
        try:
            for named in filter(None, (source, transcoder)):
                check_place(named)
            place, session = models.MODELS, current_session()
            for event in add_model_steps(
                source,
                name,
                transcoder=transcoder,
                device=chosen_device(),
                models=place,
                session=session,
            ):
                if isinstance(event, cs.ModelEntry):
                    st.session_state[ADDED] = event.name
                else:
                    st.write(plain(event))
        except cs.CircuitScopeError as error:
            status.update(label="The model was not added", state="error", expanded=True)
            failed = error
    if failed:
        draw_error(failed)  # below the steps, which a visitor may fold away
    else:
        st.rerun()


def draw_added() -> None:
    """Say once which model was added, choose it in the list and empty the form."""
    name = st.session_state.pop(ADDED, "")
    if not name:
        return
    st.session_state["models_chosen"] = name
    for key in ("models_source", "models_name", "models_transcoder"):
        st.session_state[key] = ""
    st.success(plain(f"“{name}” was added. Press “Use it” below to show it on all pages."))
