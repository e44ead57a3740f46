"""All models of the app: add a Hugging Face model, check, rename and remove one, and the bin."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.models.adding import draw_added
from pages.ui.models.managing import draw_actions
from pages.ui.models.models_form import ask_for_model
from pages.ui.models.removal import draw_bin, offer_undo
from pages.ui.models.table import draw_models
from pages.ui.shared import models
from pages.ui.shared.device import draw_device
from pages.ui.shared.page import begin_page, page_errors

begin_page("Models")
st.caption(
    "The models that the other pages can show: those trained here, and Hugging Face models that "
    "were added. An added model stays where it is, and the app refers to its folder; only what is "
    "in a stage is copied."
)
with page_errors():
    draw_device()
    draw_added()
    offer_undo()
    found = cs.list_models(models.MODELS)
    if found:
        draw_models(found)
        draw_actions(found)
    draw_bin()
    ask_for_model()
