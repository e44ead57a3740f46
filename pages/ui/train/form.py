"""The Train page's questions: what to train on, how large, and how long it will take."""

from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.config import ExcerptPolicy
from circuitscope_core.launch import TrainingRequest, check_name, measure_speed_apart
from circuitscope_core.pipeline import free_name
from circuitscope_core.training import TrainingSpeed
from pages.ui.shared.device import chosen_device
from pages.ui.shared.errors import draw_error
from pages.ui.shared.text import plain
from pages.ui.train.backend import ask_where
from pages.ui.train.stage_text import ask_for_stage

SOURCES = {
    "builtin": "Built-in: CIA World Factbook",
    "path": "Parquet on this machine",
    "upload": "Upload a Parquet file",
    "stage": "Snowflake stage",
}
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
# label, field, lowest, highest, step
NUMBERS = (
    ("Layers", "n_layers", 1, 8, 1),
    ("Width of the residual stream", "d_model", 16, 256, 16),
    ("Heads", "n_heads", 1, 16, 1),
    ("Width of the MLP", "d_mlp", 32, 1024, 32),
    ("Features a layer", "d_transcoder", 64, 8192, 64),
    ("Active features a token and layer", "target_l0", 1.0, 200.0, 1.0),
    ("Tokens to train the model on", "model_tokens", 100_000, 100_000_000, 100_000),
    ("Tokens to train the transcoder on", "transcoder_tokens", 50_000, 50_000_000, 50_000),
)


def ask_for_training(models: Path) -> TrainingRequest | None:
    """Ask everything; None while an answer is missing. Shows what is wrong where it is."""
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Text")
        source = ask_for_source(models)
        column, share = ask_about_text(source)
    with right:
        st.subheader("Size")
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
        st.subheader("Where it runs")
        where = ask_where(name)
    try:
        config = make_config(_DEFAULTS[tokens], sizes, column, share / 100, excerpts)
    except cs.CircuitScopeError as error:
        draw_error(error)
        return None
    show_estimate(config)
    if source is None or where is None or not name:
        return None
    place = (where.backend, where.store, chosen_device() if where.backend == "local" else None)
    return TrainingRequest(config, (source,), models, name, *place)


def ask_for_name(models: Path) -> str:
    """Return the name of the model to be; empty, with the reason shown, if it cannot have it."""
    st.session_state.setdefault("train_name", free_name(models, "mine"))
    name = st.text_input("Name of the model", key="train_name", max_chars=64)
    try:
        check_name(name)
    except cs.TrainingError as error:
        draw_error(error)
        return ""
    free = free_name(models, name)
    if name != free:
        st.error(
            plain(f"There is a model “{name}” already. Another name, such as “{free}”, keeps both.")
        )
        return ""
    return name


def ask_for_source(models: Path, *, with_skills: bool = True) -> str | None:
    """Return ``builtin`` or a path; None while there is none.

    Args:
        models: The folder of models, beside which uploads are kept.
        with_skills: Whether the training adds sentences that teach skills to the built-in text.
    """
    kind = st.radio("Train on", list(SOURCES), format_func=SOURCES.get, key="train_source")
    if kind == "builtin":
        skills = ", with generated sentences that teach skills" if with_skills else ""
        st.caption(f"About the world's countries{skills}.")
        return "builtin"
    if kind == "path":
        location = st.text_input(
            "File, folder or glob",
            key="train_path",
            placeholder="/data/pile/*.parquet or hf://datasets/owner/name/file.parquet",
        )
        return location.strip() or None
    if kind == "upload":
        return keep_upload(models)
    return ask_for_stage()


def keep_upload(models: Path) -> str | None:
    """Save an uploaded file under a name of our own, so that a resume finds it again."""
    upload = st.file_uploader("Parquet file", type=["parquet"], key="train_upload")
    if upload is None:
        return None
    folder = models / ".uploads"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{upload.file_id}.parquet"
    if not target.is_file():
        partial = target.with_suffix(".partial")
        partial.write_bytes(upload.getbuffer())
        partial.replace(target)
    return str(target)


def ask_about_text(source: str | None) -> tuple[str, int]:
    """Return the text column and the skills' share in per cent."""
    column = "text"
    if source != "builtin":
        column = st.text_input("Column with the text", column, key="train_column")
    share = st.slider(
        "Share of sentences that teach skills",
        0,
        50,
        round(100 * _DEFAULT.corpus.skill_share),
        format="%d %%",
        key="train_share",
        help="Acronyms, brackets, counting, capitals and more; what the exam asks is held out.",
    )
    return column, share


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


def ask_for_sizes(model_tokens: int) -> Sizes:
    """Return a preset's sizes, or each as chosen; the default has so many tokens to train on."""
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
    chosen = {}
    columns = st.columns(2)
    for number, (label, name, low, high, step) in enumerate(NUMBERS):
        value = getattr(default, name)
        chosen[name] = columns[number % 2].number_input(
            label, low, high, value, step, key=f"train_custom_{name}"
        )
    kind = st.radio(
        "A feature writes to",
        ("its own and all later layers", "its own layer only"),
        key="train_custom_writes",
        help="Cross-layer features give shorter graphs; per-layer ones are the simpler kind.",
        horizontal=True,
    )
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


@st.cache_data(max_entries=32, show_spinner="Timing a few steps on this machine …")
def cached_speed(config: cs.TrainConfig) -> TrainingSpeed:
    return measure_speed_apart(config)


def without_lengths(config: cs.TrainConfig) -> cs.TrainConfig:
    """Return settings of the same speed: those that only say how much is trained are defaults."""
    return cs.TrainConfig(model=config.model, transcoder=config.transcoder)


def show_estimate(config: cs.TrainConfig) -> None:
    """Show parameter counts and the time that a training will take on this machine."""
    one, two, three = st.columns(3)
    one.metric("Model parameters", f"{config.model.count_parameters():,}")
    two.metric("Transcoder parameters", f"{config.transcoder.count_parameters():,}")
    try:
        seconds = cached_speed(without_lengths(config)).estimate(config)
    except cs.TrainingError as error:
        three.metric("Time on this machine", "unknown")
        st.warning(plain(str(error)))
        return
    three.metric("Time on this machine", f"about {minutes(seconds.total)}")
    st.caption(
        f"Model {minutes(seconds.language_model)}, transcoder {minutes(seconds.transcoder)}, "
        f"feature cards {minutes(seconds.feature_cards)}: measured with a few steps just now; "
        "other work on this machine makes it longer."
    )


def minutes(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
