"""Links between the pages."""

from typing import Literal

import streamlit as st
from streamlit.errors import StreamlitAPIException

ICONS = {
    "train": ":material/model_training:",
    "prompt": ":material/edit:",
    "graph": ":material/account_tree:",
}


def link_to(page: Literal["train", "prompt", "graph"], label: str) -> None:
    """Draw a link to a page; plain words where a page is run without the app around it."""
    try:
        st.page_link(f"pages/{page}.py", label=label, icon=ICONS[page])
    except StreamlitAPIException:
        st.caption(label)
