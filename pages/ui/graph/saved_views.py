"""Named views of a model's graphs: kept in its notes, opened again by name."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.notes import Address
from pages.ui.shared.address import address_of
from pages.ui.shared.errors import draw_error
from pages.ui.shared.notes import has_older_notes, notes_file, read_notes, write_notes
from pages.ui.shared.session import get_state, open_address
from pages.ui.shared.text import plain


def draw_views(model: str) -> None:
    """Offer to keep this view under a name, and to open or drop those that are kept."""
    with st.popover("Views", icon=":material/bookmark:"):
        st.caption("A view keeps the prompt, the thresholds, pins, supernodes and places.")
        with st.form("graph_keep_view", border=False, clear_on_submit=True):
            name = st.text_input("Name", max_chars=80)
            if st.form_submit_button("Keep this view") and name:
                keep(model, name)
        for number, (name, address) in enumerate(read_notes(model).views.items()):
            left, right = st.columns([5, 1], vertical_alignment="center")
            left.button(
                plain(name),
                key=f"graph_view_{number}",
                width="stretch",
                on_click=open_view,
                args=(model, address),
            )
            right.button(
                "",
                icon=":material/delete:",
                key=f"graph_drop_{number}",
                help=f"Drop “{plain(name)}”",
                on_click=drop,
                args=(model, name),
            )


def draw_older_notes(model: str) -> None:
    """Name the file with the notes on an older model of the same name."""
    if has_older_notes(model):
        st.info(
            plain(
                f"Labels and views of an earlier model “{model}” are not shown: its features were "
                f"others. They stay in {notes_file(model).name}, and move aside once you write "
                "new ones."
            )
        )


def open_view(model: str, address: Address) -> None:
    """Take every choice from a kept view."""
    open_address({**address, "model": model})


def drop(model: str, name: str) -> None:
    """Forget a kept view."""
    write_notes(model, lambda notes: notes.drop_view(name))


def keep(model: str, name: str) -> None:
    """Keep the present view; a failure is shown and nothing else is lost."""
    try:
        write_notes(model, lambda notes: notes.keep_view(name, address_of(get_state())))
        st.toast(f"Kept as “{plain(name)}”")
    except cs.CircuitScopeError as error:
        draw_error(error)
