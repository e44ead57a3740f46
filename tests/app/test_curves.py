"""Curves of a training and names of its settings."""

import pandas as pd
import pytest

import circuitscope_core as cs
from circuitscope_core.glossary import FIGURES
from circuitscope_core.training import Progress
from pages.ui.train.comparison import differences, flat_settings
from pages.ui.train.curves import Look, chart_of, describe, smooth
from pages.ui.train.progress import curve, of_figure
from pages.ui.train.setting_names import name_setting, write_setting

LOSS = FIGURES["loss"]
FRAME = pd.DataFrame({"a": [4.0, 3.9, 3.95, 0.0], "b": [None, 2.0, None, 1.0]}, [1, 2, 3, 4])


@pytest.mark.parametrize("config", [cs.TrainConfig(), cs.TranscoderTrainConfig()])
def test_every_setting_has_a_name_in_words(config):
    for key, _ in flat_settings(config.to_json()):
        name = name_setting(key)
        assert "_" not in name
        assert ": " in name


def test_settings_that_differ_are_told_in_words():
    one = cs.TrainConfig().to_json()
    other = {**one, "seed": 1, "model": {**one["model"], "tied_embeddings": True}}
    changed = differences({"x": one, "y": other})
    assert changed.to_dict("index") == {
        "Model: embedding and unembedding are one": {"x": "no", "y": "yes"},
        "Training: seed": {"x": "0", "y": "1"},
    }
    assert name_setting("new.thing") == "new.thing"
    assert write_setting(18_500_000) == "18,500,000"


def test_smoothing_is_a_running_mean_and_keeps_gaps():
    smoothed = smooth(FRAME, 0.5)
    assert smoothed["a"].tolist()[:2] == pytest.approx([4.0, (3.9 + 0.5 * 4.0) / 1.5])
    assert smoothed["b"].isna().tolist() == FRAME["b"].isna().tolist()
    assert smooth(FRAME, 0.0).equals(FRAME)


def test_the_y_axis_covers_the_values_and_does_not_begin_at_0():
    chart = chart_of(FRAME, LOSS, "steps", Look(), "said").to_dict()
    assert chart["encoding"]["y"]["scale"] == {"type": "linear", "zero": False, "nice": False}
    assert chart["description"] == "Training loss. said"


def test_a_logarithmic_axis_leaves_out_what_it_cannot_show():
    chart = chart_of(FRAME, LOSS, "steps", Look(logarithmic=True), "")
    assert chart.to_dict()["encoding"]["y"]["scale"]["type"] == "log"
    assert (chart.data["y"] > 0).all()
    assert len(chart.data) == 5


def test_curves_are_told_in_words():
    said = describe(FRAME, LOSS, "steps")
    assert said == (
        "a: from 4.000 to 0.000 after 4 steps, lowest 0.000; "
        "b: from 2.000 to 1.000 after 4 steps, lowest 1.000."
    )
    assert describe(FRAME.iloc[:0], LOSS, "steps") == "Nothing was recorded."
    assert describe(FRAME.iloc[:1], LOSS, "steps") == "a: 4.000."


def test_layers_have_curves_of_their_own_beside_the_mean():
    metrics = {"l0": 3.0, "l0.10": 2.0, "l0.9": 4.0, "sparsity_coefficient": 1.0}
    events = (Progress("transcoder", 10, 100, 1.0, metrics),)
    frame = curve(events, "transcoder")
    assert list(frame) == ["l0", "l0.9", "l0.10"]
    assert list(of_figure(frame, "l0", each_layer=True)) == ["all layers", "layer 9", "layer 10"]
    assert list(of_figure(frame, "l0", each_layer=False)) == ["L0"]
    plain = curve((Progress("transcoder", 10, 100, 1.0, {"l0": 3.0}),), "transcoder")
    assert list(of_figure(plain, "l0", each_layer=True)) == ["L0"]
