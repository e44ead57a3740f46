"""What CircuitScope is, and the shortest way to a graph."""

import streamlit as st

import circuitscope_core as cs
from pages.ui import begin_page
from pages.ui.facts import draw_model_facts
from pages.ui.links import link_to
from pages.ui.models import load_model, model_key
from pages.ui.session import get_state, show_demo
from pages.ui.state import DEMO_PROMPT
from pages.ui.text import plain
from pages.ui.trusting import draw_trust

STEPS = (
    (
        "Train",
        "train",
        "A small language model and its transcoder, on text of your own, in minutes on a CPU. "
        "A trained model comes with the app, so this step can wait.",
    ),
    (
        "Prompt",
        "prompt",
        "Type the start of a text, see the likely next tokens, and choose which of them to "
        "explain.",
    ),
    (
        "Graph",
        "graph",
        "Read which tokens and features caused the output, with exact weights. Point, click, "
        "group, download.",
    ),
)

begin_page("CircuitScope")
st.markdown(
    "An X-ray for language models. It shows, for one prompt, which words and which learned "
    "features caused the next token, and how strongly. Everything runs on this machine: text and "
    "models leave it only where you name a stage or a cluster."
)
if st.button("Show the demo graph", type="primary", icon=":material/play_arrow:", key="home_demo"):
    show_demo()
    st.switch_page("pages/graph.py")
st.caption(f"Why does the model continue “{DEMO_PROMPT}” the way it does?")
for place, (name, page, text) in zip(st.columns(3, gap="medium"), STEPS, strict=True):
    with place.container(border=True, height="stretch"):
        st.subheader(name)
        st.write(text)
        link_to(page, f"Go to {name}")
try:
    draw_model_facts(load_model(model_key(get_state().model)))
    draw_trust()
except cs.CircuitScopeError as error:
    st.error(plain(str(error)))
    link_to("train", "Train a model")
