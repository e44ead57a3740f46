"""One graph for every skill, with what to look for in it."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.skills import SKILLS
from pages.ui import begin_page
from pages.ui.gallery import draw_exhibit
from pages.ui.links import link_to
from pages.ui.models import model_key
from pages.ui.session import get_state
from pages.ui.text import plain

begin_page("Gallery")
st.caption(
    "One prompt for every skill in the training text; its names and numbers were never taught. "
    "The picture is the graph itself: tokens below, the output on top, and in colour what feeds it "
    "directly. Green raises it, purple lowers it."
)
try:
    model_key(get_state().model)
    for names in zip(*[iter(SKILLS)] * 3, strict=True):
        for place, name in zip(st.columns(3, gap="medium"), names, strict=True):
            with place:
                draw_exhibit(name)
except cs.CircuitScopeError as error:
    st.error(plain(str(error)))
    link_to("train", "Train a model")
