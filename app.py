"""CircuitScope in the browser: ``streamlit run app.py``."""

import streamlit as st

st.navigation(
    [
        st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
        st.Page("pages/prompt.py", title="Prompt", icon=":material/edit:"),
        st.Page("pages/graph.py", title="Graph", icon=":material/account_tree:"),
        st.Page("pages/debug.py", title="Debug", icon=":material/bug_report:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("pages/gallery.py", title="Gallery", icon=":material/photo_library:"),
    ],
    position="hidden",  # every page draws the menu itself; see pages/ui/links.py
).run()
