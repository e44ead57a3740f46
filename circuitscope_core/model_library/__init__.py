"""The models in a folder: bundles that were trained, and Hugging Face models that were added."""

from circuitscope_core.model_library.adding import (
    ModelCheck,
    add_model,
    add_model_steps,
    check_added,
)
from circuitscope_core.model_library.listing import ListedModel, list_models, model_names
from circuitscope_core.model_library.model_cards import collect_model_cards
from circuitscope_core.model_library.moving import remove_model, rename_model

__all__ = [
    "ListedModel",
    "ModelCheck",
    "add_model",
    "add_model_steps",
    "check_added",
    "collect_model_cards",
    "list_models",
    "model_names",
    "remove_model",
    "rename_model",
]
