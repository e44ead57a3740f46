"""A Hugging Face model on another device, as a model of its own."""

import torch

from circuitscope_core.devices import module_on
from circuitscope_core.errors import DeviceError
from circuitscope_core.pretrained.pretrained_model import PretrainedModel


def model_on(model: PretrainedModel, device: torch.device) -> PretrainedModel:
    """Return a model on a device; the one that was given stays as it is.

    Raises:
        DeviceError: If its layers lie on several devices.
    """
    places = {weight.device for weight in model.module.parameters()}
    if places == {device}:
        return model
    if len(places) > 1:
        raise DeviceError(
            f"The model lies on {len(places)} devices and stays there. Load it again with "
            f"device={str(device)!r}."
        )
    module = module_on(model.module, device)
    for part in module.modules():
        vars(part).pop("forward", None)  # a tap, which would run the module it was made for
    moved = PretrainedModel(module, tokenizer=model.tokenizer, n_opening=model.n_opening)
    moved.folder = model.folder
    return moved.writing_at(model.write_point)
