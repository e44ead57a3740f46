"""The models in ``models/``: bundles that were trained, and Hugging Face models that were added."""

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.bundle import CARDS, is_entry, name_fault, record_file
from circuitscope_core.cores import return_freed_memory
from circuitscope_core.model_library import model_names
from pages.ui.shared.device import chosen_device
from pages.ui.shared.kept import open_models

MODELS = Path(
    os.environ.get("CIRCUITSCOPE_MODELS") or Path(__file__).resolve().parents[3] / "models"
)
"""The folder of all models; another one may be named if the app's own is read-only."""
DEMO = "demo"


@dataclass(frozen=True)
class ModelKey:
    """A model as it is on disk now: training it again makes another key."""

    name: str
    changed_ns: int
    device: str = "cpu"
    """The device that it is loaded onto."""


def list_models() -> tuple[str, ...]:
    """Return the names of all models, the demo first."""
    return tuple(sorted(model_names(MODELS), key=lambda name: (name != DEMO, name)))


def list_trained() -> tuple[str, ...]:
    """Return the names of the bundles, which have weights and figures of their own."""
    return tuple(name for name in list_models() if not is_entry(MODELS / name))


def model_key(name: str) -> ModelKey:
    """Return a model's key.

    Raises:
        BundleError: If there is no such model.
        DeviceError: If the environment names a device that is not there.
    """
    record = None if name_fault(name) else record_file(MODELS / name)
    if record is None:
        raise cs.BundleError(
            f"There is no model {name!r}. Choose one at the top of the page, train it or add it."
        )
    parts = (record, MODELS / name / CARDS)  # an added model may be given cards later
    changed = max(part.stat().st_mtime_ns for part in parts if part.is_file())
    return ModelKey(name, changed, chosen_device())


def load_model(key: ModelKey) -> cs.Bundle:
    """Load a model once for all visitors; it must not be changed."""

    def load() -> cs.Bundle:
        with st.spinner("Loading the model …"):
            bundle = cs.load_bundle(MODELS / key.name, device=key.device)
        return_freed_memory()  # reading takes more than what was read
        return bundle

    return open_models().get(key, load)
