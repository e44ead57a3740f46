"""Hugging Face models: any family of the table, in memory or from a folder."""

from circuitscope_core.pretrained.check import SelfCheck, check_model, check_neurons
from circuitscope_core.pretrained.families import FAMILIES
from circuitscope_core.pretrained.load import ModelFiles, fetch_model, load_model, read_model_files
from circuitscope_core.pretrained.placing import model_on
from circuitscope_core.pretrained.pretrained_model import KIND, PretrainedModel

__all__ = [
    "FAMILIES",
    "KIND",
    "ModelFiles",
    "PretrainedModel",
    "SelfCheck",
    "check_model",
    "check_neurons",
    "fetch_model",
    "load_model",
    "model_on",
    "read_model_files",
]
