"""The choice of a training's place on the Train page."""

from dataclasses import dataclass

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.launch import BackendChoice, available_backends, parse_backend
from circuitscope_core.stages import list_compute_pools
from pages.ui.shared.errors import draw_error
from pages.ui.shared.snowflake import current_session
from pages.ui.shared.text import plain

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


def ask_where(name: str) -> Where | None:
    """Return the place of the training; None, with the reason shown, if it cannot run there."""
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
        return None
    try:
        return ask_details(choices[kind], name)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return None


def ask_details(choice: BackendChoice, name: str) -> Where | None:
    """Ask for the details of a kind of place.

    Raises:
        ConfigError: If the answers name no place.
        StageError: If the account cannot be asked for its compute pools.
    """
    if choice.kind == "local":
        return Where()
    if choice.kind == "procs":
        n = ask_number("Processes", parse_backend(choice.example).n_workers)
        st.caption("They share each batch; every one uses its part of the processors.")
        return Where(f"procs:{n}")
    if choice.kind == "ray":
        return ask_ray(parse_backend(choice.example).n_workers)
    return ask_pool(name)


def ask_number(label: str, value: int) -> int:
    return int(st.number_input(label, 1, 64, value, key=f"train_where_{label.lower()}"))


def ask_ray(n_workers: int) -> Where | None:
    """Ask for the cluster and the workers in it."""
    place = st.selectbox(
        "Cluster", list(RAY_PLACES), format_func=RAY_PLACES.__getitem__, key="train_where_cluster"
    )
    address = place
    if place == "@":
        typed = st.text_input("Address", key="train_where_address", placeholder="ray://host:10001")
        if not typed.strip():
            return None
        address = f"@{typed.strip()}"
    n = ask_number("Workers", n_workers)
    return Where(str(parse_backend(f"ray:{n}{address}")))


def ask_pool(name: str) -> Where | None:
    """Ask for the compute pool, the nodes, and the stage through which the job is followed."""
    session = current_session()
    if session is None:
        st.info("A compute pool needs the connection to Snowflake, which is not there.")
        return None
    pools = list_compute_pools(session)
    if not pools:
        st.info("There is no compute pool that this role may see; snowflake/setup.sql makes one.")
        return None
    pool = st.selectbox("Compute pool", pools, key="train_where_pool")
    n = ask_number("Nodes", 1)
    place = st.text_input(
        "Stage for events and checkpoints",
        f"{RUNS}/{name}",
        key="train_where_store",
        help="The job writes them there and this page follows; a job that is lost goes on from "
        "the last checkpoint.",
    )
    return Where(str(parse_backend(f"snowflake:{pool}x{n}")), place.strip() or None)
