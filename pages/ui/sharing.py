"""A graph as files to take away."""

import streamlit as st

from pages.ui.state import State
from pages.ui.tracing import Shown, downloads

DOWNLOADS = {
    "html": ("Standalone page", "One file with this graph to explore; works without a network."),
    "svg": ("Picture (SVG)", "The open view with what is selected in it, sharp at every size."),
    "json": ("Graph JSON", "For Neuronpedia, circuit-tracer, and “Open a file” here."),
    "graphml": ("GraphML", "For Gephi, yEd and networkx."),
}
"""By the ending of the file: what it is called, and what for."""


def draw_downloads(shown: Shown, state: State) -> None:
    """Offer the graph as files."""
    files = downloads(shown, state, dark=st.context.theme.type == "dark")
    by_ending = {name.rsplit(".", 1)[1]: name for name in files}
    with st.popover("Download", icon=":material/download:", width="stretch"):
        for ending, (label, meaning) in DOWNLOADS.items():
            contents, media_type = files[by_ending[ending]]
            st.download_button(
                label,
                contents,
                file_name=by_ending[ending],
                mime=media_type,
                help=meaning,
                width="stretch",
                on_click="ignore",
                key=f"graph_download_{label}",
            )
