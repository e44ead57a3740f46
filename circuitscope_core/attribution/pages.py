"""Memory for matrices of which large parts stay 0."""

import math
import mmap

import torch
from torch import Tensor


def lazy_zeros(*shape: int) -> Tensor:
    """Return float32 zeros that take memory only where they are written to, page by page.

    A graph's nodes are in order of their layers, so about half of its matrix is never touched. In
    large pages, which NumPy asks for, every row's pages would be. Where the system has no private
    anonymous mappings (Windows) all of the memory is taken at once.
    """
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return torch.zeros(shape)
    size = max(1, math.prod(shape))
    pages = mmap.mmap(-1, 4 * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.float32)[: math.prod(shape)].view(shape)
