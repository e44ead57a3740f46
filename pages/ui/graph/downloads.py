"""A graph as files to take away."""

import streamlit as st

from pages.ui.shared.tracing import Shown, downloads

DOWNLOADS = {
    "html": ("Standalone page", "One file with this graph to explore; works without a network."),
    "json": ("Graph JSON", "For Neuronpedia, circuit-tracer, and “Open a file” here."),
    "graphml": ("GraphML", "For Gephi, yEd and networkx."),
}
"""By the ending of the file: what it is called, and what for."""


def draw_downloads(shown: Shown) -> None:
    """Offer the graph as files; the canvas itself offers its picture."""
    with st.popover("Download", icon=":material/download:", width="stretch"):
        for name, (contents, media_type) in downloads(shown).items():
            label, meaning = DOWNLOADS[name.rsplit(".", 1)[1]]
            st.download_button(
                label,
                contents,
                file_name=name,
                mime=media_type,
                help=meaning,
                width="stretch",
                on_click="ignore",
                key=f"graph_download_{label}",
            )
