"""The form that asks for a Hugging Face model to add."""

import importlib.util
import os

import streamlit as st

from circuitscope_core.devices import free_bytes
from circuitscope_core.values import in_bytes
from pages.ui.models.adding import add
from pages.ui.shared.device import chosen_device
from pages.ui.shared.snowflake import current_session


def ask_for_model() -> None:
    """Ask for a folder or a name on the hub, and add the model."""
    st.header("Add a Hugging Face model")
    if importlib.util.find_spec("transformers") is None:
        st.info("This needs transformers: pip install -r requirements-pretrained.txt")
        return
    with st.form("models_add"):
        left, right = st.columns(2)
        source = left.text_input(
            "Folder, hub name or place in a stage",
            key="models_source",
            placeholder="/data/SmolLM2-135M",
        )
        name = right.text_input(
            "Name in this app", key="models_name", placeholder="as its folder", max_chars=64
        )
        transcoder = st.text_input(
            "Transcoder (optional)",
            key="models_transcoder",
            placeholder="/data/transcoder",
            help="Trained on this model. Without one, graphs are of the model's own neurons.",
        )
        st.caption(where_it_may_be())
        ready = st.form_submit_button("Add the model", type="primary", icon=":material/add:")
    if ready:
        add(source.strip(), name.strip() or None, transcoder.strip() or None)


def where_it_may_be() -> str:
    """Say where models are looked for, and how much memory there is."""
    hub = (
        "HF_HUB_OFFLINE is set, so a name on the hub is found only if it was fetched before."
        if os.environ.get("HF_HUB_OFFLINE") == "1"
        else "A name on the Hugging Face hub, owner/name, needs a network the first time."
    )
    free = in_bytes(free_bytes(chosen_device()))
    stage = (
        "A model in a stage, @database.schema.stage/folder, is copied beside the models."
        if current_session()
        else "A stage needs a connection to Snowflake; there is none now."
    )
    return (
        f"A folder is on the machine that runs the app. {hub} {stage} {free} of memory are free "
        "here."
    )
