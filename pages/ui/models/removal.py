"""A model of the list under another name, or in the bin: asked for twice, and taken back."""

from collections.abc import Callable

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.bundle import RETENTION_DAYS, check_not_shipped
from circuitscope_core.notes import NOTES, notes_follow
from circuitscope_core.pipeline import numbered
from circuitscope_core.values import in_bytes
from pages.ui.shared import models
from pages.ui.shared.errors import draw_error
from pages.ui.shared.session import change_state, get_state
from pages.ui.shared.text import plain

ASKED, RENAMED = "models_remove_asked", "models_rename_asked"
"""The model whose removal, or whose new name, waits for an answer, in the session."""
REMOVED = "models_removed"
"""Where the model that was removed last is in the bin, in the session."""


def may_change(name: str) -> bool:
    """Tell whether a model may be renamed and removed: not the one that comes with the app."""
    try:
        check_not_shipped(models.MODELS / name)
    except cs.BundleError:
        return False
    return name != models.DEMO


def confirm_removal(model: cs.ListedModel) -> None:
    """Ask once more, then move a model into the bin."""
    stays = f" Its weights stay in {model.source}." if model.kind == "added" else ""
    st.warning(
        plain(f"Remove “{model.name}”?{stays} It is kept in the bin for {RETENTION_DAYS} days.")
    )
    yes, no, _ = st.columns([1.3, 1.3, 8])
    no.button("Keep it", key="models_keep", on_click=st.session_state.pop, args=(ASKED,))
    if yes.button("Remove it", key="models_remove_now", type="primary"):
        st.session_state.pop(ASKED)
        if done(lambda: cs.remove_model(model.name, models.MODELS)):
            latest = next(iter(cs.list_bin(models.MODELS)), None)
            st.session_state[REMOVED] = latest.token if latest else ""
            follow(model.name, "")
            st.rerun()


def ask_for_new_name(model: cs.ListedModel) -> None:
    """Ask for another name, and give it to a model and its notes."""
    with st.form("models_rename_form"):
        new = st.text_input("New name", model.name, key="models_new_name", max_chars=64).strip()
        yes, no, _ = st.columns([1.3, 1.3, 8])
        ready = yes.form_submit_button("Rename it", type="primary")
        kept = no.form_submit_button("Keep the name")
    if kept or (ready and new == model.name):
        st.session_state.pop(RENAMED)
        st.rerun()
    if ready and done(lambda: rename(model.name, new)):
        st.session_state.pop(RENAMED)
        st.session_state["models_chosen_next"] = new
        follow(model.name, new)
        st.rerun()


def rename(name: str, new: str) -> None:
    """Give a model another name, and its notes too."""
    with notes_follow(models.MODELS / NOTES, name, new):
        cs.rename_model(name, new, models.MODELS)


def follow(name: str, new: str) -> None:
    """Choose another model where the visitor's own is gone."""
    if get_state().model == name:
        change_state(model=new)


def done(act: Callable[[], object]) -> bool:
    """Do something and tell whether it was done; shows why not."""
    try:
        act()
    except cs.CircuitScopeError as error:
        draw_error(error)
        return False
    return True


def offer_undo() -> None:
    """Offer to take back the removal of this visit."""
    token = st.session_state.get(REMOVED)
    binned = next((item for item in cs.list_bin(models.MODELS) if item.token == token), None)
    if binned is None:
        return
    said, undo, _ = st.columns([4, 1.3, 4], vertical_alignment="center")
    said.success(plain(f"“{binned.name}” is in the bin."))
    if undo.button("Undo", key="models_undo", icon=":material/undo:") and restore(binned):
        st.session_state.pop(REMOVED)
        st.rerun()


def restore(binned: cs.BinnedModel) -> bool:
    """Take a model out of the bin, under its own name if that is free."""
    free = next(name for name in numbered(binned.name) if not (models.MODELS / name).exists())
    return done(lambda: cs.restore_model(binned.token, models.MODELS, free))


def draw_bin() -> None:
    """List what is in the bin: removed models, and versions that a newer one replaced."""
    cs.empty_bin(models.MODELS, days=RETENTION_DAYS)
    found = cs.list_bin(models.MODELS)
    if not found:
        return
    with st.expander(f"Bin ({len(found)})", icon=":material/delete:"):
        st.caption(
            "Models that were removed, and older versions that a newer model of the name replaced. "
            f"Each is deleted for good after {RETENTION_DAYS} days."
        )
        for number, binned in enumerate(found):
            said, back = st.columns([6, 1.3], vertical_alignment="center")
            size, left = in_bytes(binned.n_bytes), max(0.0, binned.days_left)
            said.markdown(plain(f"{binned.name}: {size}, {left:.0f} days left"))
            key = f"models_restore_{number}"
            if back.button("Restore", key=key, width="stretch") and restore(binned):
                st.rerun()
        sure = st.checkbox("Delete all of it for good", key="models_bin_sure")
        if st.button("Empty the bin", key="models_bin_empty", disabled=not sure):
            cs.empty_bin(models.MODELS)
            st.rerun()
