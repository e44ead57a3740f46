"""Bundles and features on another device, each as a value of its own."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from circuitscope_core.bundle.recorded_models import place_transformer
from circuitscope_core.devices import check_room
from circuitscope_core.errors import DeviceError
from circuitscope_core.feature_dictionary import FeatureDictionary
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.neuron_dictionary import NeuronDictionary
from circuitscope_core.pretrained import PretrainedModel, model_on
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transcoder_formats import place_transcoder
from circuitscope_core.transformer import Transformer

if TYPE_CHECKING:
    from circuitscope_core.bundle.bundle import Bundle


def bundle_on(bundle: "Bundle", device: torch.device) -> "Bundle":
    """Return a bundle on a device; the one that was given stays as it is.

    Raises:
        DeviceError: If there is too little memory, or the model is of a kind of its own.
    """
    model = language_model_on(bundle.model, device)
    return replace(bundle, model=model, transcoder=features_on(bundle.transcoder, model))


def language_model_on(model: LanguageModel, device: torch.device) -> LanguageModel:
    """Return a model on a device.

    Raises:
        DeviceError: If there is too little memory, or the model is of a kind of its own.
    """
    if model.tokens([0]).device == device:
        return model
    if isinstance(model, Transformer):
        return place_transformer(model, device)
    if not isinstance(model, PretrainedModel):
        raise DeviceError(
            f"A {type(model).__name__} cannot be moved from here; make it on {device} and put it "
            "into a bundle again."
        )
    needed = model.n_parameters * model.weight_dtype.itemsize
    if device.type != "cpu":
        check_room(needed, device, f"A model of {model.n_parameters:,} parameters")
    return model_on(model, device)


def features_on(features: FeatureDictionary, model: LanguageModel) -> FeatureDictionary:
    """Return features where a model is; those that are of another kind as they are.

    Raises:
        DeviceError: If there is too little memory.
    """
    if isinstance(features, NeuronDictionary):
        same = features.model.tokens([0]).device == model.tokens([0]).device
        return features if same else NeuronDictionary(model)
    if not isinstance(features, CrossLayerTranscoder):
        return features
    place = model.tokens([0]).device
    return features if features.b_dec.device == place else place_transcoder(features, place)
