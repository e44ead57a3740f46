"""Labels and views of a model whose name another model has by now."""

import json
import shutil

from pages.ui.shared.notes import write_notes as write_note
from tests.app.opening import ROOT, open_page
from tests.demo import kept_features

LABELLED = [int(part) for part in kept_features(1)[0].split("_")[:2]]
"""Layer and number of the feature that the demo's answer depends on most."""


def write_notes(models, bundle):
    """Write one label of the demo's most influential feature, about some model."""
    notes = {"format_version": 1, "labels": [[*LABELLED, "mine"]], "views": {}, "bundle": bundle}
    (models / ".notes").mkdir(exist_ok=True)
    (models / ".notes" / "demo.json").write_text(json.dumps(notes))


def labels(at):
    return {
        label for item in at.dataframe if "label" in item.value for label in item.value["label"]
    }


def test_labels_of_an_older_model_are_not_shown_and_stay_in_a_file(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "models/demo", tmp_path / "demo")
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    write_notes(tmp_path, "")
    assert "mine" in labels(open_page("graph", tab="table"))
    write_notes(tmp_path, "a" * 64)
    at = open_page("graph", node=kept_features(1)[0], tab="table")
    assert "mine" not in labels(at)
    assert "earlier model “demo” are not shown" in at.info[0].value.replace("\\", "")
    write_note("demo", lambda notes: notes.label(*LABELLED, "new"))
    at = open_page("graph", tab="table")
    assert "new" in labels(at)
    assert not at.info
    old = json.loads((tmp_path / ".notes" / f"demo.{'a' * 12}.json").read_text())
    assert old["labels"] == [[*LABELLED, "mine"]]
