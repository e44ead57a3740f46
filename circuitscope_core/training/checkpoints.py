"""Saved states of a training: one safetensors file for each phase, replaced in one step."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor

from circuitscope_core.errors import TrainingError
from circuitscope_core.files import reason_of
from circuitscope_core.training.workers import Workers

STEP = "step"
"""Name under which a state's step travels; no weight is called so."""


@dataclass(frozen=True)
class SavedState:
    """The contents of a checkpoint."""

    step: int
    tensors: Mapping[str, Tensor]
    extra: Mapping[str, Any]
    """Small JSON values, for example the metrics of a finished phase."""


def share_state(workers: Workers, state: SavedState) -> SavedState:
    """Return worker 0's state, whatever the others' are.

    Raises:
        WorkerLost: If a worker is gone.
    """
    if workers.world == 1:
        return state
    data = b""
    if workers.rank == 0:
        ready = {name: value.detach().contiguous() for name, value in state.tensors.items()}
        data = save(ready | {STEP: torch.tensor(state.step, device="cpu")})
    tensors = load(workers.broadcast(data))
    return SavedState(int(tensors.pop(STEP)), tensors, {})


@dataclass(frozen=True)
class CheckpointFile:
    """One phase's checkpoint in a run folder, or that of other long work."""

    path: Path
    work: str = "training"
    """The work whose state it is, as messages name it."""

    def save(self, step: int, tensors: Mapping[str, Tensor], **extra: Any) -> None:
        """Write the state to a temporary name, then rename it over the last one.

        Raises:
            TrainingError: If a number is not finite, or the file cannot be written; the state saved
                before stays as it is.
        """
        for name, value in tensors.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise TrainingError(
                    f"The training diverged: {name} is not finite at step {step}, and that state "
                    "was not saved. Restart with a lower learning rate."
                )
        partial = self.path.with_name(f"{self.path.name}.partial")
        record = json.dumps({"step": step, "extra": extra})
        ready = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(ready, partial, metadata={"state": record})
            os.replace(partial, self.path)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise TrainingError(
                f"The checkpoint {self.path} cannot be written ({reason_of(error)}). Make room and "
                f"start the same {self.work} again: it continues from the state saved before."
            ) from error

    def step(self) -> int | None:
        """Return the step of the saved state, or None where there is none.

        Raises:
            TrainingError: If the file cannot be read.
        """
        if not self.path.is_file():
            return None
        with self._opened() as file:
            return int(json.loads(file.metadata()["state"])["step"])

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with safe_open(self.path, framework="pt") as file:
                yield file
        except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise TrainingError(
                f"The checkpoint {self.path} cannot be read ({error}); restart the {self.work}."
            ) from error

    def load(self) -> SavedState | None:
        """Return the saved state, or None where there is none.

        Raises:
            TrainingError: If the file cannot be read.
        """
        if not self.path.is_file():
            return None
        with self._opened() as file:
            record = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return SavedState(int(record["step"]), tensors, record["extra"])
