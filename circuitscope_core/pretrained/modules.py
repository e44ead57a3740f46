"""Looking into a model of ``transformers``: parts by their path, linear layers as matrices."""

from typing import Any

from torch import Tensor, nn

from circuitscope_core.errors import ModelError


def part(root: nn.Module, path: str) -> nn.Module:
    """Return the module at a path of names.

    Raises:
        ModelError: If there is none: the family's layout is another than the table says.
    """
    found: Any = root
    for name in path.split("."):
        found = getattr(found, name, None)
        if found is None:
            raise ModelError(
                f"A {type(root).__name__} has no part {path!r}; this release of transformers lays "
                "the family out in another way."
            )
    assert isinstance(found, nn.Module)
    return found


def matrix(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the weights ``[d_in, d_out]`` and biases ``[d_out]`` of a linear layer.

    GPT-2's ``Conv1D`` stores them that way, ``nn.Linear`` transposed.
    """
    stored = module.weight
    assert isinstance(stored, Tensor)
    weight = stored.detach() if type(module).__name__ == "Conv1D" else stored.detach().T
    bias: Tensor | None = getattr(module, "bias", None)
    return weight, weight.new_zeros(weight.shape[1]) if bias is None else bias.detach()
