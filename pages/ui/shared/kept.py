"""Values that all visitors of the app share, kept while somebody here uses them."""

import inspect
import os
from collections.abc import Callable, Hashable
from threading import Timer
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from torch import nn

import circuitscope_core as cs
from circuitscope_core.cores import return_freed_memory
from circuitscope_core.kept_values import KeptValues
from circuitscope_core.replacement import ReplacementModel

LIMIT = "CIRCUITSCOPE_CACHE_MB"
"""Name of the environment variable that sets the limit."""
LIMIT_MB = 1024
"""Room for graphs, passes and pictures of all visitors together, unless the variable says more."""
MOST_MODELS = 4
"""Models that are open at once; how much of memory one may take is checked where it is opened."""
GRACE_SECONDS = 15.0
"""A page that is loaded again is a session that ends and another that begins."""
Value = TypeVar("Value")


class Kept:
    """Values with the visitors who use them.

    Streamlit's own cache cannot be used here: a computation that reports its steps to a page
    would have them replayed into a page that is gone.
    """

    def __init__(self, values: KeptValues) -> None:
        self.values = values

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of a key, computed on a miss."""
        return self.values.get(key, compute, visitor())


@st.cache_resource
def kept_values() -> Kept:
    """Return what was computed about prompts."""
    return Kept(KeptValues(limit_bytes(), apart=(ReplacementModel, nn.Module)))


@st.cache_resource
def open_models() -> Kept:
    """Return the models that are open."""
    return Kept(KeptValues(max_entries=MOST_MODELS))


def limit_bytes() -> int:
    """Return the limit of what is kept about prompts.

    Raises:
        ConfigError: If the environment names none.
    """
    text = os.environ.get(LIMIT, str(LIMIT_MB)).strip()
    if not (text.isascii() and text.isdigit()):
        raise cs.ConfigError(
            f"{LIMIT} is {text!r}; it must be a whole number of MB, 0 to keep nothing."
        )
    return int(text) * 10**6


def visitor() -> str:
    """Return the session that is at work, which stays until its window is closed."""
    context = get_script_run_ctx()
    if context is None:  # a download, or a script without a page
        return ""
    return _stay(context.session_id)


def _leave(session: str) -> None:
    """Let go of what only one visitor used, unless a page of theirs is back by then."""

    def let_go() -> None:
        gone = [kept().values.leave(session) for kept in (kept_values, open_models)]
        if any(gone):
            return_freed_memory()

    timer = Timer(GRACE_SECONDS, let_go)
    timer.daemon = True
    timer.start()


def _enter(session: str) -> str:
    for kept in (kept_values, open_models):
        kept().values.enter(session)
    return session


if "scope" in inspect.signature(type(st.cache_resource).__call__).parameters:
    _stay = st.cache_resource(scope="session", on_release=_leave, show_spinner=False)(_enter)
else:  # before Streamlit 1.53 nobody tells when a session ends: values stay while there is room
    _stay = st.cache_resource(show_spinner=False)(_enter)
