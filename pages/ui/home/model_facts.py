"""Sizes, figures and exam results of a model."""

from collections.abc import Mapping

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.glossary import FIGURES
from circuitscope_core.pipeline.transcoder_job import describe_layers
from circuitscope_core.skills import SKILLS
from pages.ui.shared.tables import Columns, draw_table, share
from pages.ui.shared.text import plain

SHOWN = ("validation_loss", "replacement_agreement", "normalized_mse", "l0", "dead")
"""Figures of the glossary, in their order on the page."""


def draw_model_facts(bundle: cs.Bundle) -> None:
    """Draw a model's sizes and how good it is."""
    model, features = bundle.model.shape, bundle.transcoder.shape
    chosen = features.trained_layers
    n_with = features.n_layers if chosen is None else len(chosen)
    n_features = f"{n_with * features.n_features:,}"
    if features.exact:
        has = f"It has no transcoder: graphs are made of its own {n_features} neurons."
    else:
        has = (
            f"Its transcoder has {n_features} features and {bundle.transcoder.n_parameters:,} "
            "parameters."
        )
        has += "" if chosen is None else f" {describe_layers(chosen, features.n_layers)}"
    st.header(f"The model “{plain(bundle.metadata.name)}”")
    st.caption(
        f"{model.n_layers} layers, {model.d_model} wide, {bundle.model.n_parameters:,} parameters, "
        f"reads up to {model.n_ctx} tokens. {has}"
    )
    metrics = bundle.metadata.metrics
    known = [name for name in SHOWN if name in metrics]
    if known:
        for place, name in zip(st.columns(len(known)), known, strict=True):
            figure = FIGURES[name]
            place.metric(figure.name, figure.write(metrics[name]), help=figure.meaning)
    draw_exam(metrics)


def draw_exam(metrics: Mapping[str, float]) -> None:
    """Draw the results of the exam at the end of the training, if there was one."""
    rows = [
        {
            "skill": name,
            "whole": metrics[f"exam.{name}.whole"],
            "tokens": metrics[f"exam.{name}.tokens"],
            "meaning": skill.meaning,
        }
        for name, skill in SKILLS.items()
        if f"exam.{name}.whole" in metrics
    ]
    if not rows:
        return
    st.header("What it can do")
    columns: Columns = {
        "skill": "Skill",
        "whole": share("Whole answers right"),
        "tokens": share("Tokens right"),
        "meaning": "What it does",
    }
    draw_table(rows, columns, key="model_exam")
    st.caption(
        "Questions about names, numbers and pairs that its training text never had; a skill that "
        "was not taught, or not learned, is near zero. Prompts to try are on the Prompt page."
    )
