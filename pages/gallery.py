"""One graph for every skill, with what to look for in it."""

import streamlit as st

from pages.ui.gallery.exhibit import draw_exhibits
from pages.ui.shared.models import model_key
from pages.ui.shared.page import begin_page, page_errors
from pages.ui.shared.session import get_state

begin_page("Gallery")
st.caption(
    "One prompt for every skill in the training text; its names and numbers were never taught. "
    "The picture is the graph itself: tokens below, the output on top, and in colour what feeds it "
    "directly. Green raises it, purple lowers it."
)
with page_errors():
    model_key(get_state().model)
    draw_exhibits()
