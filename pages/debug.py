"""Explains a wrong answer: the nodes that pushed it, and the features that turn it."""

import streamlit as st

from pages.ui.debug.diagnosis import draw_diagnosis
from pages.ui.debug.failures import ask_for_failure
from pages.ui.shared.models import model_key
from pages.ui.shared.page import begin_page, page_errors
from pages.ui.shared.session import get_state

begin_page("Debug")
st.caption(
    "The model said one thing and should have said another. Every feature and token is taken away "
    "in turn, and the model is run again: what follows is measured, not read off the graph."
)
with page_errors():
    model_key(get_state().model)
    failure = ask_for_failure()
    if failure is not None:
        draw_diagnosis(*failure)
