"""Finished trainings side by side."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.training import Progress, event_to_json
from pages.ui.train.comparison import curves, differences, figures
from pages.ui.train.setting_names import name_setting
from tests.app.opening import open_page

ROOT = Path(__file__).parents[2]


def copy_demo(models, name, *, l0, batch_size, losses):
    """A bundle like the demo's with another record and log."""
    folder = models / name
    shutil.copytree(ROOT / "models/demo", folder)
    log = "\n".join(
        event_to_json(Progress("language model", step, 100, 1.0, {"validation_loss": loss}))
        for step, loss in losses.items()
    )
    (folder / "training_log.jsonl").write_text(log)
    record = json.loads((folder / "bundle.json").read_text())
    record["name"] = name
    record["metrics"]["l0"] = l0
    record["training"]["language_model_training"]["batch_size"] = batch_size
    record["files"]["training_log.jsonl"] = hashlib.sha256(log.encode()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(record))


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    copy_demo(tmp_path, "one", l0=11.0, batch_size=4, losses={10: 5.0, 20: 3.0})
    copy_demo(tmp_path, "two", l0=22.0, batch_size=8, losses={10: 4.0, 20: 2.0})
    return tmp_path


@pytest.fixture
def bundles(models):
    return {name: cs.load_bundle(models / name) for name in ("one", "two")}


def test_figures_stand_side_by_side(bundles):
    table = figures(bundles)
    assert table.loc["L0"].tolist() == ["11.0", "22.0"]
    parameters = bundles["one"].model.config.count_parameters()
    assert table.loc["Parameters"].tolist() == [f"{parameters:,}"] * 2
    assert "Seconds: transcoder" in table.index
    assert not table.isna().any(axis=None)


def test_only_settings_that_differ_are_listed():
    table = differences({"a": {"x": {"y": 1, "z": 2}}, "b": {"x": {"y": 1, "z": 3}, "w": 4}})
    assert table.loc["x.z"].tolist() == ["2", "3"]
    assert table.loc["w"].tolist() == ["–", "4"]
    assert len(table) == 2


def test_curves_are_by_tokens_and_filled_between_reports(bundles):
    frame = curves(bundles, "language model", "validation_loss")
    # 4 and 8 sequences in a step
    n_ctx = bundles["one"].model.config.n_ctx
    assert frame["one"].dropna().index[0] == pytest.approx(10 * 4 * n_ctx / 1e6)
    assert frame.loc[20 * 4 * n_ctx / 1e6].tolist() == [3.0, 4.0]
    assert frame["two"].isna().sum() == 1
    assert curves(bundles, "transcoder", "l0").empty


def test_a_record_without_settings_leaves_its_curve_out(models):
    record = json.loads((models / "two/bundle.json").read_text())
    record["training"] = {"language_model_training": "none"}
    (models / "two/bundle.json").write_text(json.dumps(record))
    bundles = {name: cs.load_bundle(models / name) for name in ("one", "two")}
    assert list(curves(bundles, "language model", "validation_loss")) == ["one"]


@pytest.mark.usefixtures("models")
def test_the_train_page_compares_what_is_chosen():
    at = open_page("train")
    assert not at.exception
    assert at.multiselect(key="train_compare").value == ["one", "two"]
    settings = at.dataframe[1].value
    assert settings.loc[name_setting("language_model_training.batch_size")].tolist() == ["4", "8"]
    at.multiselect(key="train_compare").set_value([]).run()
    assert not at.exception
    assert not at.dataframe


def test_one_model_alone_is_not_compared(models):
    shutil.rmtree(models / "two")
    at = open_page("train")
    assert not at.exception
    assert "Compare finished trainings" not in [item.value for item in at.header]
