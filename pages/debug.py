"""Why did the model say that, and what would have to be off for it to say the right thing?"""

import streamlit as st

import circuitscope_core as cs
from pages.ui import begin_page
from pages.ui.debugging import ask_for_failure, draw_diagnosis
from pages.ui.links import link_to
from pages.ui.models import model_key
from pages.ui.session import get_state
from pages.ui.text import plain

begin_page("Debug")
st.caption(
    "The model said one thing and should have said another. Every feature and token is taken away "
    "in turn, and the model is run again: what follows is measured, not read off the graph."
)
try:
    model_key(get_state().model)
    failure = ask_for_failure()
    if failure is not None:
        draw_diagnosis(*failure)
except cs.CircuitScopeError as error:
    st.error(plain(str(error)))
    if not get_state().model:
        link_to("train", "Train a model")
