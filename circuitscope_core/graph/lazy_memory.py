"""Memory for matrices of which large parts stay 0."""

import math
import mmap

import torch
from torch import Tensor


def lazy_zeros(*shape: int, like: Tensor | None = None) -> Tensor:
    """Return zeros that take memory only where they are written to, page by page.

    A graph's nodes are in order of their layers, so about half of its matrix is never touched. In
    large pages, which NumPy asks for, every row's pages would be. On a device other than the CPU,
    in another precision than float32, and where the system has no private anonymous mappings
    (Windows), all of the memory is taken at once.

    Args:
        *shape: Of the zeros.
        like: Gives device and precision; float32 in the host's memory where None.
    """
    on_host = like is None or (like.is_cpu and like.dtype is torch.float32)
    if not on_host or not hasattr(mmap, "MAP_ANONYMOUS"):
        return (
            torch.zeros(shape, device="cpu", dtype=torch.float32)
            if like is None
            else like.new_zeros(shape)
        )
    size = max(1, math.prod(shape))
    pages = mmap.mmap(-1, 4 * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.float32)[: math.prod(shape)].view(shape)
