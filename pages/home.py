"""An introduction to CircuitScope, and the shortest way to a graph."""

import streamlit as st

from pages.ui.home.faithfulness import draw_trust
from pages.ui.home.model_facts import draw_model_facts
from pages.ui.shared.menu import PageName, link_to
from pages.ui.shared.models import load_model, model_key
from pages.ui.shared.page import begin_page, page_errors
from pages.ui.shared.session import get_state, go_to_graph, show_demo
from pages.ui.shared.state import DEMO_PROMPT

STEPS: tuple[tuple[str, PageName, str], ...] = (
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
    go_to_graph()
st.caption(f"Why does the model continue “{DEMO_PROMPT}” the way it does?")
for place, (name, page, text) in zip(st.columns(3, gap="medium"), STEPS, strict=True):
    with place.container(border=True, height="stretch"):
        st.header(name)
        st.write(text)
        link_to(page, f"Go to {name}")
with page_errors():
    bundle = load_model(model_key(get_state().model))
    draw_model_facts(bundle)
    if not bundle.transcoder.shape.exact:  # neurons are tested graph by graph, by patching
        draw_trust()
