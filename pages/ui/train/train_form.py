"""The Train page's questions: what to train on, how large, and how long it will take."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.config import ExcerptPolicy
from circuitscope_core.launch import TrainingRequest, check_name
from circuitscope_core.pipeline import free_name
from pages.ui.shared.device import chosen_device
from pages.ui.shared.errors import draw_error
from pages.ui.shared.text import plain
from pages.ui.train.backend import Where, ask_where
from pages.ui.train.estimate import show_estimate
from pages.ui.train.numbers import Unfinished, ask_number, first_unfinished
from pages.ui.train.source import ask_for_column, ask_for_source

SIZES = {"small": "Small: a first look", "default": "Default", "custom": "Choose every size"}
TOKENS = {"words": "Words", "bytes": "Single bytes"}
_DEFAULTS = {"words": cs.TrainConfig(), "bytes": cs.TrainConfig.for_bytes()}
_DEFAULT = _DEFAULTS["words"]
EXCERPTS: dict[ExcerptPolicy, str] = {
    "all": "Quote the training text",
    "open": "Quote only text that may be passed on",
    "none": "Keep no text in the model",
}


@dataclass(frozen=True)
class Sizes:
    """Answers to the questions about size."""

    n_layers: int = _DEFAULT.model.n_layers
    d_model: int = _DEFAULT.model.d_model
    n_heads: int = _DEFAULT.model.n_heads
    d_mlp: int = _DEFAULT.model.d_mlp
    d_transcoder: int = _DEFAULT.transcoder.d_transcoder
    model_tokens: int = _DEFAULT.language_model_training.n_tokens
    transcoder_tokens: int = _DEFAULT.transcoder_training.n_tokens
    target_l0: float = _DEFAULT.transcoder_training.target_l0
    cross_layer: bool = _DEFAULT.transcoder.cross_layer


SMALL = Sizes(2, 32, 4, 128, 256, 1_500_000, 400_000)
MOST_HEADS = 16
# label, field, lowest, highest, step
NUMBERS = (
    ("Layers", "n_layers", 1, 8, 1),
    ("Width of the residual stream", "d_model", 16, 256, 16),
    ("Heads", "n_heads", 1, MOST_HEADS, 1),
    ("Width of the MLP", "d_mlp", 32, 1024, 32),
    ("Features a layer", "d_transcoder", 64, 8192, 64),
    ("Active features a token and layer", "target_l0", 1.0, 200.0, 1.0),
    ("Tokens to train the model on", "model_tokens", 100_000, 100_000_000, 100_000),
    ("Tokens to train the transcoder on", "transcoder_tokens", 50_000, 50_000_000, 50_000),
)


def ask_for_training(models: Path) -> TrainingRequest | Unfinished:
    """Ask everything. Shows what is wrong where it is."""
    left, right = st.columns(2, gap="large")
    with left:
        st.header("Text")
        source = ask_for_source(models)
        column, share = ask_for_column(source), ask_for_share()
    with right:
        st.header("Size")
        tokens = ask_for_tokens()
        sizes = ask_for_sizes(_DEFAULTS[tokens].language_model_training.n_tokens)
        excerpts = st.selectbox(
            "Examples on the feature cards",
            list(EXCERPTS),
            format_func=EXCERPTS.__getitem__,
            key="train_excerpts",
            help="Cards quote text on which a feature fires. The text travels with the model.",
        )
    name = ask_for_name(models)
    with right:
        st.header("Where it runs")
        where = ask_where(name if isinstance(name, str) else "")
    if isinstance(sizes, Unfinished):
        return sizes
    parts = (column if isinstance(column, str) else "text", share / 100, excerpts)
    try:
        config = make_config(_DEFAULTS[tokens], sizes, *parts)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return Unfinished("The sizes do not fit together.")
    show_estimate(config)
    if unfinished := first_unfinished((source, column, name, where)):
        return unfinished
    assert isinstance(source, str)
    assert isinstance(name, str)
    assert isinstance(where, Where)
    place = (where.backend, where.store, chosen_device() if where.backend == "local" else None)
    return TrainingRequest(config, (source,), models, name, *place)


def ask_for_name(models: Path) -> str | Unfinished:
    """Return the name of the model to be; says why where it cannot have it."""
    st.session_state.setdefault("train_name", free_name(models, "mine"))
    name = st.text_input("Name of the model", key="train_name", max_chars=64)
    try:
        check_name(name)
    except cs.TrainingError as error:
        draw_error(error)
        return Unfinished("The name of the model is wrong.")
    free = free_name(models, name)
    if name != free:
        st.error(
            plain(f"There is a model “{name}” already. Another name, such as “{free}”, keeps both.")
        )
        return Unfinished("The name of the model is in use.")
    return name


def ask_for_share() -> int:
    """Return the skills' share in per cent."""
    return st.slider(
        "Share of sentences that teach skills",
        0,
        50,
        round(100 * _DEFAULT.corpus.skill_share),
        format="%d %%",
        key="train_share",
        help="Acronyms, brackets, counting, capitals and more; what the exam asks is held out.",
    )


def ask_for_tokens() -> str:
    """Return the kind of tokens that the model reads."""
    return st.radio(
        "The model reads",
        list(TOKENS),
        format_func=TOKENS.__getitem__,
        key="train_tokens",
        horizontal=True,
        help="Words and pieces of words are learned from the text before the training, and a "
        "graph has a column for each. A model of bytes can spell every word; its graphs have a "
        "column for each letter.",
    )


def ask_for_sizes(model_tokens: int) -> Sizes | Unfinished:
    """Return a preset's sizes, or each as chosen; says what is wrong at its field.

    Args:
        model_tokens: Tokens that the default trains the model on.
    """
    default = replace(Sizes(), model_tokens=model_tokens)
    preset = st.radio(
        "Model and transcoder",
        list(SIZES),
        index=1,
        format_func=SIZES.get,
        key="train_size",
        horizontal=True,
    )
    if preset != "custom":
        return SMALL if preset == "small" else default
    chosen: dict[str, Any] = {}
    columns = st.columns(2)
    for number, (label, name, low, high, step) in enumerate(NUMBERS):
        value = getattr(default, name)
        place, key = columns[number % 2], f"train_custom_{name}"
        chosen[name] = ask_number(place, label, (low, high, step), value, key)
    kind = st.radio(
        "A feature writes to",
        ("its own and all later layers", "its own layer only"),
        key="train_custom_writes",
        help="Cross-layer features give shorter graphs; per-layer ones are the simpler kind.",
        horizontal=True,
    )
    if wrong := first_unfinished(chosen.values()):
        return wrong
    d_model, n_heads = chosen["d_model"], chosen["n_heads"]
    if d_model % n_heads:
        fits = [str(n) for n in range(1, MOST_HEADS + 1) if d_model % n == 0]
        st.error(
            f"{n_heads} heads do not divide a width of {d_model}; choose {', '.join(fits)} heads, "
            f"or a width that is a multiple of {n_heads}."
        )
        return Unfinished("Heads and width do not fit together.")
    return Sizes(**chosen, cross_layer=kind == "its own and all later layers")


def make_config(
    default: cs.TrainConfig, sizes: Sizes, column: str, share: float, excerpts: ExcerptPolicy
) -> cs.TrainConfig:
    """Turn answers into settings; the core refuses those that do not fit together.

    Args:
        default: Settings for everything that is not asked: those of words, or of bytes.
        sizes: Answers about sizes.
        column: Column of the text.
        share: Share of the sentences that teach skills.
        excerpts: Policy for quotes on feature cards.
    """
    if sizes.d_model % sizes.n_heads:
        raise cs.ConfigError(
            f"{sizes.n_heads} heads do not divide a width of {sizes.d_model}; "
            "choose another number of heads."
        )
    model = replace(
        default.model,
        n_layers=sizes.n_layers,
        d_model=sizes.d_model,
        n_heads=sizes.n_heads,
        d_head=sizes.d_model // sizes.n_heads,
        d_mlp=sizes.d_mlp,
    )
    return replace(
        default,
        model=model,
        transcoder=replace(
            default.transcoder,
            n_layers=sizes.n_layers,
            d_model=sizes.d_model,
            d_transcoder=sizes.d_transcoder,
            cross_layer=sizes.cross_layer,
        ),
        corpus=cs.CorpusConfig(text_column=column, skill_share=share),
        language_model_training=replace(
            default.language_model_training, n_tokens=sizes.model_tokens
        ),
        transcoder_training=replace(
            default.transcoder_training,
            n_tokens=sizes.transcoder_tokens,
            target_l0=sizes.target_l0,
        ),
        feature_cards=replace(default.feature_cards, excerpts=excerpts),
    )
