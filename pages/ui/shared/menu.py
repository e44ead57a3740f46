"""Links between the pages, as a rail of icons at the left of every page."""

from typing import Literal

import streamlit as st
from streamlit.errors import StreamlitAPIException

PageName = Literal["home", "train", "models", "prompt", "graph", "debug", "compare", "gallery"]
PAGES: dict[PageName, tuple[str, str]] = {
    "home": ("Home", ":material/home:"),
    "train": ("Train", ":material/model_training:"),
    "models": ("Models", ":material/deployed_code:"),
    "prompt": ("Prompt", ":material/edit:"),
    "graph": ("Graph", ":material/account_tree:"),
    "debug": ("Debug", ":material/bug_report:"),
    "compare": ("Compare", ":material/compare_arrows:"),
    "gallery": ("Gallery", ":material/photo_library:"),
}


def draw_menu() -> None:
    """Draw the links to all pages in the rail.

    Streamlit's own menu names the files for a visitor who opens a page of a fresh server by its
    link: ``app.py``, which knows better names, has not run then.
    """
    with st.sidebar:
        for name, (title, _) in PAGES.items():
            link_to(name, title)


def link_to(page: PageName, label: str) -> None:
    """Draw a link to a page; plain words where a page is run without the app around it."""
    try:
        st.page_link(f"pages/{page}.py", label=label, icon=PAGES[page][1])
    except (StreamlitAPIException, KeyError):  # older versions look the page up unguarded
        st.caption(label)
