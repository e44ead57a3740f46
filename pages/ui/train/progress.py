"""A training as it runs: progress, figures and curves, all read from its events."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from circuitscope_core.config import TrainConfig, TranscoderTrainConfig
from circuitscope_core.glossary import FIGURES
from circuitscope_core.launch import TrainingState
from circuitscope_core.training import (
    PHASES,
    Event,
    Phase,
    PhaseFinished,
    PhaseStarted,
    Progress,
    WorkersNews,
)
from pages.ui.shared.text import plain
from pages.ui.train.curves import MEAN, ask_look, draw_curves
from pages.ui.train.estimate import minutes

PHASE_TEXT = {
    "corpus": "Read the text",
    "language model": "Train the model",
    "transcoder": "Train the transcoder",
    "metrics": "Measure on held-out text",
    "exam": "Ask what it has learned",
    "feature cards": "Look at every feature",
}
Settings = TrainConfig | TranscoderTrainConfig
CURVES: dict[Phase, tuple[str, ...]] = {
    "language model": ("loss", "validation_loss"),
    "transcoder": ("normalized_mse", "l0", "dead", "loss"),
}
"""Figures of the glossary, in their order on the page."""


PER_ROW = 2
"""Charts side by side."""


@dataclass(frozen=True)
class PhaseView:
    """The progress of one phase."""

    phase: Phase
    step: int
    n_steps: int
    done: bool
    tokens_per_second: float
    message: str


def view_phases(events: tuple[Event, ...]) -> tuple[PhaseView, ...]:
    """Return the phases begun so far, in order, as their last events describe them."""
    views: dict[Phase, PhaseView] = {}
    for event in events:
        if isinstance(event, PhaseStarted):
            views[event.phase] = PhaseView(
                event.phase, event.first_step, event.n_steps, False, 0.0, ""
            )
        elif isinstance(event, Progress):
            tokens = event.metrics.get("tokens")
            text = "" if tokens is None else f"{tokens:,.0f} tokens"
            if (share := event.metrics.get("harvested")) is not None:
                text = (
                    f"step {event.step:,} of {event.n_steps:,}, collecting activations: {share:.0%}"
                )
            views[event.phase] = PhaseView(
                event.phase, event.step, event.n_steps, False, event.tokens_per_second, text
            )
        elif isinstance(event, PhaseFinished):
            n_steps = views[event.phase].n_steps if event.phase in views else 1
            text = event.message or f"{minutes(event.seconds)}"
            views[event.phase] = PhaseView(event.phase, n_steps, n_steps, True, 0.0, text)
    return tuple(views[phase] for phase in PHASES if phase in views)


def curve(events: tuple[Event, ...], phase: Phase) -> pd.DataFrame:
    """Return a phase's figures by step; after a resume, later events replace earlier ones."""
    keys = CURVES[phase]
    rows = {
        event.step: {
            key: value for key, value in event.metrics.items() if key.partition(".")[0] in keys
        }
        for event in events
        if isinstance(event, Progress) and event.phase == phase and "harvested" not in event.metrics
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").sort_index()
    frame.index.name = "step"
    return frame[sorted(frame, key=lambda name: _place(str(name), keys))]


def _place(name: str, keys: tuple[str, ...]) -> tuple[int, int]:
    """Return a figure's place among the columns: each before those of its layers."""
    key, _, layer = name.partition(".")
    return keys.index(key), int(layer) if layer else -1


def of_figure(frame: pd.DataFrame, key: str, *, each_layer: bool) -> pd.DataFrame:
    """Return the curves of one figure by the names of a legend: the mean, and those of layers."""
    layers = {
        f"{key}.{layer}": f"layer {layer}"
        for name in map(str, frame)
        if name.startswith(f"{key}.") and each_layer
        for layer in [name.rpartition(".")[2]]
    }
    means = {key: MEAN if layers else FIGURES[key].name} if key in frame else {}
    return frame[[*means, *layers]].rename(columns=means | layers).dropna(how="all")


def seconds_left(view: PhaseView, config: Settings | None) -> float | None:
    """Return the time that a phase still needs at its present speed."""
    if config is None or not view.tokens_per_second:
        return None
    tokens = {"transcoder": config.transcoder_training.batch_size}
    if isinstance(config, TrainConfig):
        own = config.language_model_training.batch_size * config.model.n_ctx
        tokens["language model"] = own
    per_step = tokens.get(view.phase)
    return (
        None
        if per_step is None
        else ((view.n_steps - view.step) * per_step / view.tokens_per_second)
    )


def draw_training(state: TrainingState, config: Settings | None) -> None:
    """Draw progress bars, figures and curves."""
    views = view_phases(state.events)
    draw_news(state.events)
    if not views:
        st.caption("Starting …")
    for view in views:
        draw_phase(view, config)
    for phase in ("transcoder", "language model"):
        frame = curve(state.events, phase)
        if frame.empty:
            continue
        st.header(PHASE_TEXT[phase])
        draw_latest(frame[[key for key in CURVES[phase] if key in frame]])
        layers = any("." in str(name) for name in frame)
        look = ask_look(f"curves_{phase.replace(' ', '_')}", layers=layers)
        shown = [key for key in CURVES[phase] if key in frame]
        for number, key in enumerate(shown):
            if number % PER_ROW == 0:
                places = st.columns(PER_ROW, gap="large")
            found = of_figure(frame, key, each_layer=look.each_layer)
            draw_curves(places[number % PER_ROW], found, FIGURES[key], "steps", look)


def draw_news(events: tuple[Event, ...]) -> None:
    """Draw the latest news of the processes or machines, if there are several."""
    news = [event for event in events if isinstance(event, WorkersNews)]
    n_lost = sum(event.status == "restarted" for event in news)
    if news:
        times = f" Workers were lost {n_lost} times." if n_lost > 1 else ""
        draw = st.warning if news[-1].status == "restarted" else st.caption
        draw(plain(news[-1].message) + times)


def draw_phase(view: PhaseView, config: Settings | None) -> None:
    """Draw one progress bar with its speed and the time left."""
    text = f"**{PHASE_TEXT[view.phase]}**"
    if view.done:
        text += f": done. {plain(view.message)}"
    else:
        text += f": {view.message or f'step {view.step:,} of {view.n_steps:,}'}"
        if view.tokens_per_second:
            text += f" · {view.tokens_per_second:,.0f} tokens a second"
        if (left := seconds_left(view, config)) is not None:
            text += f" · {minutes(left)} left"
    st.progress(min(1.0, view.step / max(1, view.n_steps)), text=text)


def draw_latest(frame: pd.DataFrame) -> None:
    """Draw each figure's last value."""
    for place, key in zip(st.columns(len(frame.columns)), map(str, frame), strict=True):
        figure, values = FIGURES[key], frame[key].dropna()
        if len(values):
            place.metric(figure.name, figure.write(values.iloc[-1]), help=figure.meaning)
