"""The app's connection to Snowflake: found by itself, tried beside the pages, told below the menu.

A page never waits for an account: where one cannot be reached, everything else works as before.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.stages import ConnectionSettings, connect, find_connection
from pages.ui.shared.text import plain

SWITCH = "CIRCUITSCOPE_SNOWFLAKE"
"""Environment variable: ``off`` keeps the app from looking for a connection."""
PATIENCE_SECONDS = 20.0
"""The longest login; an unreachable host is known within two seconds."""
POLL_SECONDS = 0.25
GRACE_SECONDS = 0.15
"""The longest wait of a page for an attempt that has just begun."""


@dataclass(frozen=True)
class Attempt:
    """One try to connect."""

    found: ConnectionSettings
    session: "Future[Any]"

    @property
    def problem(self) -> str:
        """Why there is no connection; empty while it is not known or there is one."""
        error = self.session.exception() if self.session.done() else None
        return str(error) if error else ""


@st.cache_resource(show_spinner=False)
def begin_attempt() -> Attempt | None:
    """Begin to connect, once for all visitors; None where no connection is set up."""
    if os.environ.get(SWITCH) == "off":
        return None
    session: Future[Any] = Future()
    try:
        found = find_connection()
        if found is None:
            return None
        if found.kind == "warehouse":  # its session belongs to the script's own thread
            session.set_result(connect(found))
            return Attempt(found, session)
    except cs.StageError as error:
        session.set_exception(error)
        return Attempt(ConnectionSettings("connections"), session)
    worker = ThreadPoolExecutor(1, thread_name_prefix="snowflake")
    session = worker.submit(connect, found, timeout=PATIENCE_SECONDS)
    worker.shutdown(wait=False)
    return Attempt(found, session)


def current_session() -> Any | None:
    """Return the session where there is one by now."""
    attempt = begin_attempt()
    if attempt is None or not attempt.session.done() or attempt.problem:
        return None
    return attempt.session.result()


def draw_connection() -> None:
    """Say what the connection is, or why there is none."""
    attempt = begin_attempt()
    if attempt is None:
        return
    with st.popover("Cloud", help="The connection to Snowflake"):
        if is_settled(attempt):
            draw_settled(attempt)
        else:
            wait_for(attempt)


def is_settled(attempt: Attempt) -> bool:
    """Tell whether the try has ended; a host that is refused at once is waited for."""
    wait([attempt.session], timeout=GRACE_SECONDS)
    return attempt.session.done()


def draw_settled(attempt: Attempt) -> None:
    """Draw the account, or why it is not there and a way to try again."""
    if not attempt.problem:
        st.caption(f":material/cloud_done: Snowflake: {plain(attempt.found.account)}")
        return
    with st.expander("Snowflake: not connected", icon=":material/cloud_off:"):
        st.write(plain(attempt.problem))
        if st.button("Try again", key="snowflake_again"):
            begin_attempt.clear()
            st.rerun()


@st.fragment(run_every=POLL_SECONDS)
def wait_for(attempt: Attempt) -> None:
    """Look now and then whether the try has ended; then run the page once more."""
    if attempt.session.done():
        draw_settled(attempt)  # seen at once, whatever the page takes
        st.rerun()
    st.caption(f":material/cloud_sync: Snowflake: connecting to {plain(attempt.found.account)} …")
