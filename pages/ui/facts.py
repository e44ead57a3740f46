"""What there is to know about a model."""

import streamlit as st

import circuitscope_core as cs
from pages.ui.text import plain

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
