"""The Train page's questions about a transcoder for a Hugging Face model that was added."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.devices import MachineLoad, machine_load
from circuitscope_core.launch import TrainingRequest, estimate_transcoder_apart
from circuitscope_core.pipeline.transcoder_estimate import TranscoderEstimate
from circuitscope_core.pipeline.transcoder_job import describe_layers
from pages.ui.shared.errors import draw_error
from pages.ui.shared.menu import link_to
from pages.ui.shared.text import plain
from pages.ui.train.backend import Where, ask_where
from pages.ui.train.estimate import say_load
from pages.ui.train.numbers import Unfinished, ask_number, first_unfinished
from pages.ui.train.source import ask_for_column, ask_for_source
from pages.ui.train.train_form import EXCERPTS, ask_for_name

FEATURES = {
    "jump_relu": "JumpReLU: about as many active as wanted",
    "topk": "Top-k: the k largest of each token",
}
# setting, key of its field, label, (lowest, highest, step), value
NUMBERS = (
    ("width", "width", "Features a layer", (64, 262_144, 64), 2048),
    ("active", "active", "Active a token and layer", (1, 1024, 1), 32),
    ("tokens", "layer_tokens", "Tokens to train on", (10_000, 10**9, 10_000), 500_000),
    ("n_ctx", "window", "Tokens of a window", (8, 8192, 8), 128),
)
WRITES = {"own": "its own layer only", "later": "its own and all later chosen layers"}


def ask_for_transcoder(models: Path) -> TrainingRequest | Unfinished:
    """Ask everything. Shows what is wrong where it is."""
    added = {model.name: model for model in cs.list_models(models) if model.kind == "added"}
    if not added:
        st.info("No Hugging Face model was added yet. Add one on the Models page.")
        link_to("models", "Add a model")
        return Unfinished("Add a model first.")
    left, right = st.columns(2, gap="large")
    with left:
        st.header("Model and text")
        chosen = st.selectbox("Model", list(added), key="train_added")
        source = ask_for_source(models, with_skills=False)
        column = ask_for_column(source)
        name = ask_for_name(models)
    with right:
        st.header("Transcoder")
        named = column if isinstance(column, str) else "text"
        try:
            config = ask_for_config(added[chosen].n_layers, named)
        except cs.CircuitScopeError as error:
            draw_error(error)
            return Unfinished("The settings of the transcoder do not fit.")
        st.header("Where it runs")
        where = ask_where(name if isinstance(name, str) else "")
    if isinstance(config, Unfinished):
        return config
    if isinstance(name, str):
        show_estimate(config, models / chosen, models / name)
    if unfinished := first_unfinished((source, column, name, where)):
        return unfinished
    assert isinstance(source, str)
    assert isinstance(name, str)
    assert isinstance(where, Where)
    place = str((models / chosen).resolve())
    return TrainingRequest(config, (source,), models, name, where.backend, where.store, model=place)


def ask_for_config(n_layers: int, column: str) -> cs.TranscoderTrainConfig | Unfinished:
    """Return the settings; says which layers of the model's ``n_layers`` they name.

    Raises:
        ConfigError: If answers do not fit together, or a layer does not exist.
    """
    layers = st.text_input(
        "Layers",
        "middle",
        key="train_layers",
        help="Numbers and ranges such as 10,12-14; middle for three of them; all for every layer.",
    )
    writes = st.radio(
        "A feature writes to",
        list(WRITES),
        format_func=WRITES.__getitem__,
        key="train_layer_writes",
        horizontal=True,
    )
    kind = st.radio("Features", list(FEATURES), format_func=FEATURES.get, key="train_activation")
    one, two = st.columns(2)
    numbers: dict[str, Any] = {
        name: ask_number((one, two)[place % 2], label, limits, value, f"train_{key}")
        for place, (name, key, label, limits, value) in enumerate(NUMBERS)
    }
    causal = st.toggle(
        "Loss on interventions",
        key="train_causal",
        help="Removes features and holds the transcoder to the answers of the model. Edges become "
        "truer, and the training longer. It needs two layers or more.",
    )
    skip = st.toggle("Skip connection", key="train_skip")
    excerpts = st.selectbox(
        "Examples on the feature cards",
        list(EXCERPTS),
        format_func=EXCERPTS.__getitem__,
        key="train_excerpts",
    )
    if wrong := first_unfinished(numbers.values()):
        return wrong
    active, topk = numbers["active"], kind == "topk"
    plain_config = cs.TranscoderTrainConfig.for_topk(active) if topk else cs.TranscoderTrainConfig()
    training = replace(
        plain_config.transcoder_training,
        n_tokens=numbers["tokens"],
        causal_weight=0.25 if causal else 0.0,
        target_l0=0.0 if topk else float(active),
    )
    config = replace(
        plain_config,
        layers=layers,
        cross_layer=writes == "later",
        d_transcoder=numbers["width"],
        n_ctx=numbers["n_ctx"],
        skip_connection=skip,
        transcoder_training=training,
        corpus=replace(plain_config.corpus, text_column=column),
        feature_cards=replace(plain_config.feature_cards, excerpts=excerpts),
    )
    st.caption(describe_layers(config.chosen_layers(n_layers), n_layers))
    return config


@st.cache_data(max_entries=32, show_spinner="Opening the model and timing a few steps …")
def cached_estimate(
    config: cs.TranscoderTrainConfig, model: str, out: str
) -> tuple[TranscoderEstimate, MachineLoad | None]:
    """Return the estimate, and the load of the machine when it was made."""
    load = machine_load()
    return estimate_transcoder_apart(config, model, Path(out)), load


def show_estimate(config: cs.TranscoderTrainConfig, model: Path, out: Path) -> None:
    """Estimate time, memory and disk when asked: the model has to be opened for it."""
    if not st.toggle("Estimate time, memory and disk", key="train_estimate"):
        return
    try:
        found, load = cached_estimate(config, str(model), str(out))
    except cs.TrainingError as error:
        draw_error(error)
        return
    for line in found.lines():
        st.caption(plain(line))
    if load is not None and load.is_busy:
        st.caption(say_load(found.training_seconds + found.other_seconds, load))
