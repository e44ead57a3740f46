"""Saved states of a training: one safetensors file for each phase, replaced in one step."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from circuitscope_core.errors import TrainingError


@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds."""

    step: int
    tensors: Mapping[str, Tensor]
    extra: Mapping[str, Any]
    """Small JSON values, for example the metrics of a finished phase."""


@dataclass(frozen=True)
class CheckpointFile:
    """One phase's checkpoint in a run folder."""

    path: Path

    def save(self, step: int, tensors: Mapping[str, Tensor], **extra: Any) -> None:
        """Write the state to a temporary name, then rename it over the last one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.partial")
        record = json.dumps({"step": step, "extra": extra})
        ready = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
        save_file(ready, partial, metadata={"state": record})
        os.replace(partial, self.path)

    def load(self) -> SavedState | None:
        """Return the saved state, or None where there is none.

        Raises:
            TrainingError: If the file cannot be read.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                record = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"The checkpoint {self.path} cannot be read ({error}); restart the training."
            ) from error
        return SavedState(int(record["step"]), tensors, record["extra"])
