"""One graph for every skill, with its story."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.gallery.exhibit import draw_exhibits
from pages.ui.shared.menu import link_to
from pages.ui.shared.models import load_model, model_key
from pages.ui.shared.page import begin_page, page_errors
from pages.ui.shared.session import get_state

begin_page("Gallery")
st.caption(
    "One prompt for every skill in the training text; its names and numbers were never taught. "
    "The picture is the graph itself: tokens below, the output on top, and in colour what feeds it "
    "directly. Green raises it, purple lowers it."
)
with page_errors():
    key = model_key(get_state().model)
    if isinstance(load_model(key).model, cs.PretrainedModel):
        st.info(
            "The model that is chosen was trained elsewhere, and these prompts are about skills "
            "that models are taught here. Choose another model, or type a prompt of your own."
        )
        link_to("prompt", "Type a prompt")
    else:
        draw_exhibits()
