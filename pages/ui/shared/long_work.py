"""Graphs that take long: their steps, how long they have taken, and a way to cancel."""

import time

import streamlit as st

import circuitscope_core as cs
from pages.ui.shared.state import State
from pages.ui.shared.tracing import Shown, Tracing, show, trace

CANCELLED = "circuitscope_cancelled"
QUIET_SECONDS = 0.8
"""A graph that is ready within this time shows no steps: they would only flicker."""


class Cancelled(cs.CircuitScopeError):
    """The visitor did not want to wait for a graph."""


def show_with_steps(tracing: Tracing, state: State) -> Shown:
    """Return a prompt's graph; where it takes long, its steps and a way to cancel are shown.

    Raises:
        Cancelled: If the visitor cancelled this graph and did not ask for it again.
    """
    ask_again(tracing)
    place = st.empty()
    shown = show(tracing, state, on_step=StepsInPlace(place, tracing))
    place.empty()
    return shown


def trace_with_steps(tracing: Tracing) -> cs.AttributionGraph:
    """Return a prompt's graph as it is before pruning; see ``show_with_steps``.

    Raises:
        Cancelled: If the visitor cancelled this graph and did not ask for it again.
    """
    ask_again(tracing)
    place = st.empty()
    graph = trace(tracing, on_step=StepsInPlace(place, tracing))
    place.empty()
    return graph


def ask_again(tracing: Tracing) -> None:
    """Ask whether a graph that was cancelled is wanted after all.

    Raises:
        Cancelled: If it is not.
    """
    if st.session_state.get(CANCELLED) != tracing:
        return
    if not st.button("Build it after all", key="trace_again", type="primary"):
        raise Cancelled("You cancelled this graph.")
    st.session_state.pop(CANCELLED)


def cancel(tracing: Tracing) -> None:
    """Remember that a graph is not wanted."""
    st.session_state[CANCELLED] = tracing


class StepsInPlace:
    """Draws the steps of a graph into one place, once they take longer than a moment.

    A click on a page ends the run of its script at the next thing that it draws, which here is the
    next step: cancelling needs no more than a button.
    """

    def __init__(self, place: "st.delta_generator.DeltaGenerator", tracing: Tracing) -> None:
        self._place, self._tracing = place, tracing
        self._started = time.monotonic()
        self._lines: list[str] = []
        self._box: st.delta_generator.DeltaGenerator | None = None

    def __call__(self, event: cs.AttributionProgress | cs.AttributionPlan) -> None:
        """Take note of a step, and draw it where the graph is taking long."""
        line, part = self._read(event)
        if not self._lines or self._lines[-1] != line:
            self._lines.append(line)
        seconds = time.monotonic() - self._started
        if seconds < QUIET_SECONDS:
            return
        if self._box is None:
            self._box = self._open()
        with self._box.container():
            for done in self._lines[:-1]:
                st.caption(f":material/check: {done}")
            left = f", about {seconds / part - seconds:,.0f} s more" if part else ""
            st.progress(part, text=f"{self._lines[-1]} … {seconds:.0f} s{left}")

    def _open(self) -> "st.delta_generator.DeltaGenerator":
        key = f"trace_cancel_{hash(self._tracing)}"  # a page may build several graphs
        with self._place.container():
            st.markdown("**Building the graph …**")
            box = st.empty()
            st.button("Cancel", key=key, on_click=cancel, args=(self._tracing,))
        return box

    @staticmethod
    def _read(event: cs.AttributionProgress | cs.AttributionPlan) -> tuple[str, float]:
        if isinstance(event, cs.AttributionPlan):
            return str(event), 0.0
        return event.step, event.done / event.total if event.total else 0.0
