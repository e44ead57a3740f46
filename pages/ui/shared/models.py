"""The trained models in ``models/``."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

import circuitscope_core as cs

MODELS = Path(
    os.environ.get("CIRCUITSCOPE_MODELS") or Path(__file__).resolve().parents[3] / "models"
)
"""The folder of all models; another one may be named if the app's own is read-only."""
RECORD = "bundle.json"
DEMO = "demo"


@dataclass(frozen=True)
class ModelKey:
    """A model as it is on disk now: training it again makes another key."""

    name: str
    changed_ns: int


def is_model_name(name: str) -> bool:
    """Tell whether a name may be looked for in ``models/``: a name is never a path."""
    return re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name) is not None


def list_models() -> tuple[str, ...]:
    """Return the names of all models, the demo first."""
    if not MODELS.is_dir():
        return ()
    names = [folder.name for folder in MODELS.iterdir() if (folder / RECORD).is_file()]
    return tuple(sorted(filter(is_model_name, names), key=lambda name: (name != DEMO, name)))


def model_key(name: str) -> ModelKey:
    """Return a model's key.

    Raises:
        BundleError: If there is no such model.
    """
    if not is_model_name(name) or not (MODELS / name / RECORD).is_file():
        raise cs.BundleError(f"There is no model {name!r}. Choose one in the sidebar or train it.")
    return ModelKey(name, (MODELS / name / RECORD).stat().st_mtime_ns)


@st.cache_resource(max_entries=4, show_spinner="Loading the model …")
def load_model(key: ModelKey) -> cs.Bundle:
    """Load a model once for all visitors; it must not be changed."""
    return cs.load_bundle(MODELS / key.name)
