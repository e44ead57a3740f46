"""The choice of a training's place on the Train page."""

from dataclasses import dataclass

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.launch import BackendChoice, available_backends, parse_backend
from circuitscope_core.stages import list_compute_pools
from pages.ui.shared.errors import draw_error
from pages.ui.shared.snowflake import current_session
from pages.ui.shared.text import plain
from pages.ui.train.numbers import Unfinished, ask_number

RUNS = "@CIRCUITSCOPE.APP.MODELS/runs"
RAY_PLACES = {
    "": "Its own, on this machine",
    "@auto": "The cluster that this machine is in",
    "@": "Another, by its address",
}


@dataclass(frozen=True)
class Where:
    """The place of a training."""

    backend: str = "local"
    store: str | None = None
    """The folder or stage that mirrors the run."""


def ask_where(name: str) -> Where | Unfinished:
    """Return the place of the training; shows the reason if it cannot run there."""
    choices = {choice.kind: choice for choice in available_backends()}
    kind = st.radio(
        "Where",
        list(choices),
        format_func=lambda kind: choices[kind].title,
        captions=["" if not choice.needs else "not available here" for choice in choices.values()],
        key="train_where",
    )
    if choices[kind].needs:
        st.info(plain(choices[kind].needs))
        return Unfinished("This place is not available here.")
    try:
        return ask_details(choices[kind], name)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return Unfinished("There is no such place to train.")


def ask_details(choice: BackendChoice, name: str) -> Where | Unfinished:
    """Ask for the details of a kind of place.

    Raises:
        ConfigError: If the answers name no place.
        StageError: If the account cannot be asked for its compute pools.
    """
    if choice.kind == "local":
        return Where()
    if choice.kind == "procs":
        n = ask_workers("Processes", parse_backend(choice.example).n_workers)
        st.caption("They share each batch; every one uses its part of the processors.")
        return n if isinstance(n, Unfinished) else Where(f"procs:{n}")
    if choice.kind == "ray":
        return ask_ray(parse_backend(choice.example).n_workers)
    return ask_pool(name)


def ask_workers(label: str, value: int) -> int | Unfinished:
    """Return a number of workers, which have a name of their own in each kind of place."""
    return ask_number(st, label, (1, 64, 1), value, f"train_where_{label.lower()}")


def ask_ray(n_workers: int) -> Where | Unfinished:
    """Ask for the cluster and the workers in it."""
    place = st.selectbox(
        "Cluster", list(RAY_PLACES), format_func=RAY_PLACES.__getitem__, key="train_where_cluster"
    )
    address = place
    if place == "@":
        typed = st.text_input("Address", key="train_where_address", placeholder="ray://host:10001")
        if not typed.strip():
            return Unfinished("Type the address of the cluster.")
        address = f"@{typed.strip()}"
    n = ask_workers("Workers", n_workers)
    if isinstance(n, Unfinished):
        return n
    return Where(str(parse_backend(f"ray:{n}{address}")))


def ask_pool(name: str) -> Where | Unfinished:
    """Ask for the compute pool, the nodes, and the stage through which the job is followed."""
    session = current_session()
    if session is None:
        st.info("A compute pool needs the connection to Snowflake, which is not there.")
        return Unfinished("This place is not available here.")
    pools = list_compute_pools(session)
    if not pools:
        st.info("There is no compute pool that this role may see; snowflake/setup.sql makes one.")
        return Unfinished("This place is not available here.")
    pool = st.selectbox("Compute pool", pools, key="train_where_pool")
    n = ask_workers("Nodes", 1)
    place = st.text_input(
        "Stage for events and checkpoints",
        f"{RUNS}/{name}",
        key="train_where_store",
        help="The job writes them there and this page follows; a job that is lost continues from "
        "the last checkpoint.",
    )
    if isinstance(n, Unfinished):
        return n
    return Where(str(parse_backend(f"snowflake:{pool}x{n}")), place.strip() or None)
