"""The time that a training will take on this machine, and how busy the machine is."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.devices import MachineLoad, machine_load
from circuitscope_core.launch import measure_speed_apart
from circuitscope_core.training import TrainingSpeed
from pages.ui.shared.text import plain


@st.cache_data(max_entries=32, show_spinner="Timing a few steps on this machine …")
def cached_speed(config: cs.TrainConfig) -> tuple[TrainingSpeed, MachineLoad | None]:
    """Return the speed of a training, and the load of the machine when it was measured."""
    load = machine_load()  # before: the measurement is work, too
    return measure_speed_apart(config), load


def without_lengths(config: cs.TrainConfig) -> cs.TrainConfig:
    """Return settings of the same speed: those that only say how much is trained are defaults."""
    return cs.TrainConfig(model=config.model, transcoder=config.transcoder)


def show_estimate(config: cs.TrainConfig) -> None:
    """Show parameter counts and the time that a training will take on this machine."""
    one, two, three = st.columns(3)
    one.metric("Model parameters", f"{config.model.count_parameters():,}")
    two.metric("Transcoder parameters", f"{config.transcoder.count_parameters():,}")
    try:
        speed, load = cached_speed(without_lengths(config))
    except cs.TrainingError as error:
        three.metric("Time on this machine", "unknown")
        st.warning(plain(str(error)))
        return
    seconds = speed.estimate(config)
    three.metric("Time on this machine", f"about {minutes(seconds.total)}")
    st.caption(
        f"Model {minutes(seconds.language_model)}, transcoder {minutes(seconds.transcoder)}, "
        f"feature cards {minutes(seconds.feature_cards)}: measured with a few steps just now. "
        + say_load(seconds.total, load)
    )


def say_load(seconds: float, load: MachineLoad | None) -> str:
    """Return in words how busy the machine was while a training's time was measured."""
    if load is None or not load.is_busy:
        return "Other work on this machine makes it longer."
    return (
        f"**This machine is busy**: other work wants {load.wanting:.1f} of its {load.cores} "
        f"processors. About {minutes(seconds)} now, {minutes(load.when_idle(seconds))} on an idle "
        "one."
    )


def minutes(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
