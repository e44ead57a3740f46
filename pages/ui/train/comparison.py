"""Finished trainings side by side: figures, settings that differ, curves."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

import circuitscope_core as cs
from circuitscope_core.glossary import FIGURES
from circuitscope_core.skills import SKILLS
from circuitscope_core.training import Event, Phase, Progress, event_from_json
from pages.ui.shared.errors import draw_error
from pages.ui.shared.models import list_trained, load_model, model_key
from pages.ui.train.curves import ask_look, draw_curves
from pages.ui.train.setting_names import name_setting, write_setting

COMPARED = (
    "validation_loss",
    "l0",
    "normalized_mse",
    "dead",
    "replacement_agreement",
    "ce_recovered",
    "kl_bits",
    *(f"exam.{name}.whole" for name in SKILLS),
)
"""Figures of the glossary, in their order in the table."""
CURVES: tuple[tuple[Phase, str], ...] = (
    ("language model", "validation_loss"),
    ("transcoder", "normalized_mse"),
    ("transcoder", "l0"),
)
MOST = 4


def draw_comparison() -> None:
    """Let the visitor choose among the models here and draw them side by side."""
    names = list_trained()
    if len(names) < 2:
        return
    st.header("Compare finished trainings")
    chosen = st.multiselect(
        "Models", names, names[:2], max_selections=MOST, key="train_compare", placeholder="Choose"
    )
    bundles: dict[str, cs.Bundle] = {}
    for name in chosen:
        try:
            bundles[name] = load_model(model_key(name))
        except cs.CircuitScopeError as error:
            draw_error(error)
    if not bundles:
        st.caption("Choose two models or more.")
        return
    left, right = st.columns(2, gap="large")
    left.caption("Figures")
    left.dataframe(figures(bundles), width="stretch", key="compare_figures")
    right.caption("Settings that differ")
    changed = differences({name: bundle.metadata.training for name, bundle in bundles.items()})
    if changed.empty:
        right.info("The settings are the same.")
    else:
        right.dataframe(changed, width="stretch", key="compare_settings")
    st.caption("In training")
    look = ask_look("compare_curves", layers=False)
    for place, (phase, metric) in zip(st.columns(len(CURVES)), CURVES, strict=True):
        frame = curves(bundles, phase, metric)
        if frame.empty:
            place.info(f"{FIGURES[metric].name}: not recorded.")
        else:
            draw_curves(place, frame, FIGURES[metric], "million tokens", look)


def figures(bundles: Mapping[str, cs.Bundle]) -> pd.DataFrame:
    """Return one column of figures for each model: how good it is and how long it took."""
    columns = {}
    for name, bundle in bundles.items():
        metrics, seconds = bundle.metadata.metrics, bundle.metadata.seconds
        column = {"Parameters": f"{bundle.model.n_parameters:,}"}
        column |= {
            FIGURES[key].name: FIGURES[key].write(metrics[key]) if key in metrics else "–"
            for key in COMPARED
        }
        column |= {f"Seconds: {phase}": f"{value:.0f}" for phase, value in seconds.items()}
        column["Seconds in all"] = f"{sum(seconds.values()):.0f}" if seconds else "–"
        columns[name] = column
    return pd.DataFrame(columns).fillna("–")


def differences(settings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the settings that are not the same in all trainings, one column for each."""
    flat = {name: dict(flat_settings(values)) for name, values in settings.items()}
    keys = sorted({key for values in flat.values() for key in values})
    rows = {key: [values.get(key, "–") for values in flat.values()] for key in keys}
    changed = {name_setting(key): row for key, row in rows.items() if len(set(row)) > 1}
    return pd.DataFrame.from_dict(changed, orient="index", columns=list(flat))


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return settings and their values as text, by names such as ``model.n_layers``."""
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += flat_settings(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", write_setting(value)))
    return found


def curves(bundles: Mapping[str, cs.Bundle], phase: Phase, metric: str) -> pd.DataFrame:
    """Return a figure against millions of tokens, one column for each model that recorded it."""
    found = {}
    for name, bundle in bundles.items():
        lines = map(event_from_json, bundle.training_log.splitlines())
        events = [event for event in lines if event is not None]
        tokens = _tokens_in_a_step(bundle, phase)
        if points := _points(events, phase, metric, tokens) if tokens else {}:
            found[name] = pd.Series(points)
    frame = pd.DataFrame(found)
    # two trainings seldom report at the same step
    return frame.interpolate(method="index", limit_area="inside") if len(found) > 1 else frame


def _points(events: Iterable[Event], phase: Phase, metric: str, tokens: int) -> dict[float, float]:
    return {
        event.step * tokens / 1e6: event.metrics[metric]
        for event in events
        if isinstance(event, Progress) and event.phase == phase and metric in event.metrics
    }


def _tokens_in_a_step(bundle: cs.Bundle, phase: Phase) -> int:
    """Return the tokens of one step of a phase; 0 if the settings do not name them."""
    sections = {
        "transcoder": ("transcoder_training", 1),
        "language model": ("language_model_training", bundle.model.shape.n_ctx),
    }
    section, tokens = sections[phase]
    try:
        return int(bundle.metadata.training[section]["batch_size"]) * tokens
    except (KeyError, TypeError, ValueError):
        return 0
