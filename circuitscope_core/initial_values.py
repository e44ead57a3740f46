"""The numbers that a new model begins with, and none where it only has shapes.

On PyTorch's meta device a model has shapes and takes no memory. Arithmetic there loads PyTorch's
compiler, which takes 60 MB and a second, so that nothing is drawn or computed there.
"""

import torch
from torch import Tensor


def only_shapes() -> bool:
    """Return whether tensors made here are on the meta device."""
    return torch.get_default_device().type == "meta"


def draw_normal(*shape: int, std: float) -> Tensor:
    """Return numbers of a normal distribution; shapes alone on the meta device.

    Args:
        shape: The tensor's.
        std: The distribution's standard deviation; its mean is 0.
    """
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_().mul_(std)
