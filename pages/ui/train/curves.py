"""Curves of a training: smoothed or not, on a plain or a logarithmic axis, and in words."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from circuitscope_core.glossary import Figure
from pages.ui.shared.text import plain

SMOOTHING = {0.0: "none", 0.6: "a little", 0.9: "much"}
"""Share of the value before in each point, by the words on the page."""
HEIGHT = 240
MEAN = "all layers"


@dataclass(frozen=True)
class Look:
    """The visitor's choice of how curves are drawn."""

    smoothing: float = 0.0
    logarithmic: bool = False
    each_layer: bool = True


def ask_look(key: str, *, layers: bool) -> Look:
    """Ask how curves are drawn.

    Args:
        key: Begins the keys of the fields.
        layers: Whether there are curves of single layers.
    """
    one, two, three, _ = st.columns([2.4, 1.6, 1.6, 3], vertical_alignment="bottom")
    smoothing = one.segmented_control(
        "Smoothing",
        list(SMOOTHING),
        format_func=SMOOTHING.__getitem__,
        default=0.0,
        key=f"{key}_smoothing",
    )
    logarithmic = two.toggle("Logarithmic axis", key=f"{key}_log")
    each = layers and three.toggle("Each layer", value=True, key=f"{key}_layers")
    return Look(smoothing or 0.0, logarithmic, each)


def smooth(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return each column with a running mean in which older values count less.

    Args:
        frame: One column a curve.
        share: Weight of all values before, in each point; 0 changes nothing.
    """
    return frame.ewm(alpha=1 - share, ignore_na=True).mean().where(frame.notna())


def draw_curves(place: Any, frame: pd.DataFrame, figure: Figure, x_label: str, look: Look) -> None:
    """Draw one figure's curves with their description.

    Args:
        place: Part of the page.
        frame: One column a curve, the x axis in the index; gaps are left out.
        figure: Its name, format and meaning.
        x_label: Title of the x axis.
        look: How they are drawn.
    """
    described = describe(frame, figure, x_label)
    place.markdown(f"**{figure.name}**", help=figure.meaning)
    place.altair_chart(chart_of(frame, figure, x_label, look, described), width="stretch")
    place.caption(plain(described))


def chart_of(
    frame: pd.DataFrame, figure: Figure, x_label: str, look: Look, described: str
) -> alt.Chart:
    """Return the chart; its y axis covers the values and no more, so that a change is seen."""
    values = smooth(frame, look.smoothing).rename_axis("x").reset_index()
    long = values.melt("x", var_name="curve", value_name="y").dropna()
    if look.logarithmic:
        long = long[long["y"] > 0]
    scale = alt.Scale(type="log" if look.logarithmic else "linear", zero=False, nice=False)
    axis = alt.Axis(format=axis_format(figure), tickCount=5)
    legend = alt.Legend(title=None, orient="top") if len(frame.columns) > 1 else None
    chart: alt.Chart = (
        alt.Chart(long, description=f"{figure.name}. {described}", height=HEIGHT)
        .mark_line()
        .encode(
            x=alt.X("x:Q", title=x_label, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("y:Q", title=None, scale=scale, axis=axis),
            color=alt.Color("curve:N", sort=list(frame.columns), legend=legend),
            tooltip=[
                alt.Tooltip("curve:N", title="curve"),
                alt.Tooltip("x:Q", title=x_label, format=",.4~r"),
                alt.Tooltip("y:Q", title=figure.name, format=",.4~r"),
            ],
        )
    )
    return chart


def axis_format(figure: Figure) -> str:
    """Return the format of an axis: that of the figure, as far as the axis' steps need it."""
    return ".2~%" if figure.form.endswith("%}") else ",.4~r"


def describe(frame: pd.DataFrame, figure: Figure, x_label: str) -> str:
    """Return in words where each curve begins, where it is now and its lowest value."""
    parts = []
    for name in frame:
        values = frame[name].dropna()
        if values.empty:
            continue
        if len(values) == 1:
            parts.append(f"{name}: {figure.write(values.iloc[0])}")
            continue
        first, last, lowest = (
            figure.write(v) for v in (values.iloc[0], values.iloc[-1], values.min())
        )
        after = f"{values.index[-1]:,.4g} {x_label}"
        parts.append(f"{name}: from {first} to {last} after {after}, lowest {lowest}")
    return "; ".join(parts) + "." if parts else "Nothing was recorded."
