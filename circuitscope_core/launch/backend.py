"""Reads the names of places to train, and reports the missing requirements of each."""

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, get_args

from circuitscope_core.devices import usable_cores
from circuitscope_core.errors import ConfigError, StageError
from circuitscope_core.stages import find_connection
from circuitscope_core.stages.snowflake_stage import in_warehouse

BackendKind = Literal["local", "procs", "ray", "snowflake"]
MOST_WORKERS = 512
GRAMMAR = (
    "local, procs:N (processes on this machine), ray:N (a Ray cluster of its own on this machine), "
    "ray:N@auto (the cluster that this machine is in), ray:N@ray://HOST:10001, or "
    "snowflake:POOLxN (N nodes of a compute pool); for example procs:2"
)
IN_WAREHOUSE = (
    "An app on a warehouse has no processes of its own and ends with its viewer, so it cannot "
    "train. Run the app on a container, or start the training from a notebook or a shell; models "
    "that lie in a stage can be fetched here."
)
_FORMS = (
    re.compile(r"(?P<kind>local)"),
    re.compile(r"(?P<kind>procs):(?P<n>[0-9]{1,9})"),
    re.compile(
        r"(?P<kind>ray):(?P<n>[0-9]{1,9})(@(?P<place>auto|ray://[A-Za-z0-9_.\[\]:-]+:[0-9]{1,5}))?"
    ),
    re.compile(r"(?P<kind>snowflake):(?P<place>[A-Za-z_][A-Za-z0-9_$]{0,254})x(?P<n>[0-9]{1,9})"),
)


@dataclass(frozen=True)
class Backend:
    """The place where a training runs."""

    kind: BackendKind = "local"
    n_workers: int = 1
    """Processes that share each batch; for Snowflake, nodes, each with one."""
    place: str = ""
    """Ray: the cluster's address, empty for one of its own; Snowflake: the compute pool."""

    def __str__(self) -> str:
        """Return the text that names it."""
        if self.kind == "local":
            return "local"
        if self.kind == "snowflake":
            return f"snowflake:{self.place}x{self.n_workers}"
        return f"{self.kind}:{self.n_workers}" + (f"@{self.place}" if self.place else "")


@dataclass(frozen=True)
class BackendChoice:
    """One kind of place, for a form to offer."""

    kind: BackendKind
    example: str
    """A text that ``parse_backend`` takes, to begin with."""
    title: str
    needs: str
    """The missing requirement, as a sentence; empty where the place can be used now."""


def parse_backend(text: str) -> Backend:
    """Return the place that a text names.

    Raises:
        ConfigError: If it names none, or a number of workers that cannot be.
    """
    found = next((match for form in _FORMS if (match := form.fullmatch(text.strip()))), None)
    if found is None:
        raise ConfigError(f"{text!r} is no place to train. Write {GRAMMAR}.")
    parts = found.groupdict()
    n = int(parts.get("n") or 1)
    if not 1 <= n <= MOST_WORKERS:
        raise ConfigError(f"{text!r} asks for {n} workers; use 1 to {MOST_WORKERS}.")
    kind: BackendKind = next(kind for kind in get_args(BackendKind) if kind == parts["kind"])
    return Backend(kind, n, parts.get("place") or "")


def available_backends() -> tuple[BackendChoice, ...]:
    """Return every kind of place, each with what it still needs. Nothing is asked of a network."""
    here = IN_WAREHOUSE if in_warehouse() else ""
    n = usable_cores()
    return (
        BackendChoice("local", "local", "This machine, one process", here),
        BackendChoice("procs", f"procs:{n}", "This machine, several processes", here or _procs()),
        BackendChoice("ray", f"ray:{n}", "A Ray cluster", here or _ray()),
        BackendChoice(
            "snowflake", "snowflake:MY_POOLx2", "A Snowflake compute pool", here or _pool()
        ),
    )


def require(backend: Backend) -> None:
    """Make sure that a place can be used.

    Raises:
        ConfigError: If something is missing for it.
    """
    needs = {choice.kind: choice.needs for choice in available_backends()}[backend.kind]
    if needs:
        raise ConfigError(f"{backend} cannot be used here. {needs}")


def _procs() -> str:
    import torch

    if not torch.distributed.is_available():
        return "This PyTorch was built without torch.distributed; install the one from PyPI."
    return ""


def _ray() -> str:
    if not _installed("ray"):
        return "Ray is not installed: python -m pip install -r requirements-cluster.txt"
    return ""


def _pool() -> str:
    if not _installed("snowflake-ml-python"):
        return (
            "snowflake-ml-python is not installed: "
            "python -m pip install -r requirements-cluster.txt"
        )
    try:
        connection = find_connection()
    except StageError as error:
        return str(error)
    if connection is None:
        return (
            "There is no connection to Snowflake: write one into .streamlit/secrets.toml or "
            "~/.snowflake/connections.toml."
        )
    return ""


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
