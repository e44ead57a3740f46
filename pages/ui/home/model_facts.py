"""What there is to know about a model."""

from collections.abc import Mapping

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.skills import SKILLS
from pages.ui.shared.tables import draw_table, share
from pages.ui.shared.text import plain

METRICS = {
    "bits_per_byte": ("Bits a byte", "{:.2f}", "How well the model predicts held-out text."),
    "validation_loss": ("Held-out loss", "{:.2f}", "How well the model predicts held-out text."),
    "replacement_agreement": (
        "Replacement agreement",
        "{:.0%}",
        "Share of held-out tokens where the model with its MLPs replaced by features predicts "
        "the same next token.",
    ),
    "normalized_mse": (
        "Normalised MSE",
        "{:.2f}",
        "What the features leave unexplained of the MLP outputs; 0 is perfect.",
    ),
    "l0": ("L0", "{:.1f}", "Features active for one token, in one layer."),
    "dead": ("Dead features", "{:.1%}", "Features that never fire on held-out text."),
}


def draw_model_facts(bundle: cs.Bundle) -> None:
    """Draw a model's sizes and how good it is."""
    model, transcoder = bundle.model.config, bundle.transcoder.config
    st.subheader(f"The model “{plain(bundle.metadata.name)}”")
    st.caption(
        f"{model.n_layers} layers, {model.d_model} wide, {model.count_parameters():,} parameters, "
        f"reads up to {model.n_ctx} tokens. Its transcoder has "
        f"{transcoder.n_layers * transcoder.d_transcoder:,} features and "
        f"{transcoder.count_parameters():,} parameters."
    )
    metrics = bundle.metadata.metrics
    known = [(name, entry) for name, entry in METRICS.items() if name in metrics]
    if known:
        for place, (name, (title, form, meaning)) in zip(
            st.columns(len(known)), known, strict=True
        ):
            place.metric(title, form.format(metrics[name]), help=meaning)
    draw_exam(metrics)


def draw_exam(metrics: Mapping[str, float]) -> None:
    """Draw how the model did in the exam at the end of its training, where there was one."""
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
    st.subheader("What it can do")
    columns = {
        "skill": "Skill",
        "whole": share("Whole answers right"),
        "tokens": share("Letters right"),
        "meaning": "What it does",
    }
    draw_table(rows, columns, key="model_exam")
    st.caption(
        "Questions about names, numbers and pairs that its training text never had; a skill that "
        "was not taught, or not learned, is near zero. Prompts to try are on the Prompt page."
    )
