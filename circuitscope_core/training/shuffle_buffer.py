"""The activations that are shuffled together, within a stated bound of memory or of disk."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from circuitscope_core.config import ReadPoint
from circuitscope_core.errors import TrainingError
from circuitscope_core.files import reason_of
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.training.activations import Activations, harvested
from circuitscope_core.values import in_bytes

FREE_SHARE = 0.9
"""Share of the free disk that a buffer may take."""
NAMES = ("inputs", "targets", "stream")


@dataclass(frozen=True)
class BufferPlan:
    """How many sequences are shuffled together, how precisely they are kept, and where."""

    n_sequences: int
    dtype: torch.dtype | None = None
    """None: the precision of the model's records."""
    folder: Path | None = None
    """Where the buffer lies in files; None: in memory, on the model's device."""

    def describe(self, n_pos: int, n_bytes: int) -> str:
        """Return the plan as a sentence."""
        place = "memory" if self.folder is None else f"files in {self.folder}"
        return (
            f"{self.n_sequences:,} sequences of {n_pos} tokens are shuffled together: "
            f"{in_bytes(n_bytes)} of {place}."
        )


def bytes_a_token(n_layers: int, d_model: int, dtype: torch.dtype, *, with_stream: bool) -> int:
    """Return the memory of one token's activations in a buffer."""
    return n_layers * d_model * dtype.itemsize * (3 if with_stream else 2)


def plan_buffer(
    sequences: tuple[int, int],
    one_sequence: int,
    bound: int,
    dtype: torch.dtype,
    folder: Path | None,
) -> BufferPlan:
    """Return the buffer to be filled again and again, as large as a bound allows.

    Args:
        sequences: The most that are shuffled together, and those that are needed in all, which are
            divided evenly among the times that it is filled.
        one_sequence: Bytes of one.
        bound: Bytes of all.
        dtype: The precision in which they are kept.
        folder: Where its files are to lie; None: in memory.

    Raises:
        TrainingError: If one sequence is larger than the bound, or the disk is too small.
    """
    if one_sequence > bound:
        raise TrainingError(
            f"buffer_bytes is {bound:,}, and the activations of one sequence take "
            f"{one_sequence:,} bytes; give at least as many, choose fewer layers, or a smaller "
            "n_ctx."
        )
    most, needed = sequences
    most = min(most, bound // one_sequence)
    n_sequences = -(-needed // -(-needed // most))
    if folder is not None:
        free = free_disk(folder)
        if n_sequences * one_sequence > FREE_SHARE * free:
            raise TrainingError(
                f"The buffer takes {in_bytes(n_sequences * one_sequence)} in {folder}, where "
                f"{in_bytes(free)} are free. Make room, or set buffer_bytes to at most "
                f"{int(FREE_SHARE * free):,}."
            )
    return BufferPlan(n_sequences, dtype, folder)


def free_disk(folder: Path) -> int:
    """Return the bytes that are free where a folder is, or will be."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(place).free


def fill(
    plan: BufferPlan,
    model: LanguageModel,
    windows: Int[Tensor, "n n_pos"],
    read_point: ReadPoint,
    layers: Sequence[int],
    *,
    with_stream: bool,
) -> Iterator[float | Activations]:
    """Run a model on windows and keep its MLPs' activations, a few sequences at a time.

    Yields the share that is done, and at last the activations.
    """
    shape = model.shape
    n_tokens = len(windows) * (windows.shape[1] - shape.n_opening)
    names = NAMES if with_stream else NAMES[:2]
    whole: list[Tensor] = []
    done = 0
    for part in harvested(model, windows, read_point, layers, with_stream=with_stream):
        if not whole:
            size = (len(layers), n_tokens, shape.d_model)
            whole = [
                _room(plan, name, size, piece) for name, piece in zip(names, part, strict=True)
            ]
        end = done + part[0].shape[1]
        for kept, piece in zip(whole, part, strict=True):
            kept[:, done:end] = piece
        done = end
        yield done / n_tokens
    yield Activations(*whole)


def _room(plan: BufferPlan, name: str, size: tuple[int, int, int], like: Tensor) -> Tensor:
    """Return a tensor without contents, in memory or in a file."""
    dtype = plan.dtype or like.dtype
    if plan.folder is None:
        return torch.empty(size, dtype=dtype, device=like.device)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        path, n = plan.folder / f"{name}.buffer", size[0] * size[1] * size[2]
        found = torch.from_file(str(path), shared=True, size=n, dtype=dtype, device="cpu")
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"The buffer cannot be written to {plan.folder}: {reason_of(error)}. Make room there, "
            "or keep it in memory with buffer_place=memory."
        ) from error
    return found.view(size)
