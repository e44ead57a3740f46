"""The table of all models."""

from collections.abc import Sequence

import streamlit as st

import circuitscope_core as cs
from pages.ui.shared.tables import Columns, draw_table, number, words
from pages.ui.shared.text import plain

ORIGIN = {"trained": "trained here", "added": "added"}
COLUMNS: Columns = {
    "name": words("Model", "medium"),
    "origin": words("Origin", "small"),
    "family": words("Family", "small"),
    "n_layers": number("Layers", "localized"),
    "n_parameters": number("Parameters", "localized"),
    "n_bytes": number("Memory", "bytes"),
    "disk_bytes": number("On disk", "bytes"),
    "has": words("It has", "medium"),
}


def draw_models(found: Sequence[cs.ListedModel]) -> None:
    """Draw what is known of each model, and what is wrong with some."""
    draw_table([row_of(model) for model in found], COLUMNS, key="models_table")
    st.caption("Memory is that of the weights of model and transcoder; a graph takes more.")
    for model in found:
        if model.problem:
            st.warning(plain(f"{model.name}: {model.problem}"))


def row_of(model: cs.ListedModel) -> dict[str, object]:
    """Return a model's row of the table; a figure that is not known is left empty."""
    sizes = ("n_layers", "n_parameters", "n_bytes", "disk_bytes")
    has = [model.features, *(["feature cards"] if model.has_cards else [])]
    return {
        "name": model.name,
        "origin": ORIGIN[model.kind],
        "family": model.family,
        **{name: getattr(model, name) or None for name in sizes},
        "has": ", ".join(filter(None, has)),
    }
