"""The Train page's way to a transcoder for a Hugging Face model, without a browser."""

import json

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.launch import TrainingRequest
from circuitscope_core.pipeline.transcoder_estimate import TranscoderEstimate
from circuitscope_core.training import PhaseStarted, Progress
from pages.ui.train.progress import curve, seconds_left, view_phases
from tests.app.opening import open_page
from tests.pretrained.test_load import write_tokenizer
from tests.pretrained_families import random_module
from tests.texts import write_parquet

ESTIMATE = TranscoderEstimate(
    (0, 1, 2), 3, 1, 500_000, 1e-3, 5e-4, 2e-4, 240.0, 60.0, 10**6, 10**7, 10**8, 10**7, 10**9,
    10**7, 10**10, 14_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "llama"
    random_module("LLaMA-3", torch.float32).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture
def models(saved, tmp_path, monkeypatch):
    cs.add_model(saved, "llama", models=tmp_path)
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    return tmp_path


def choose_transcoder():
    return open_page("train").radio(key="train_kind").set_value("transcoder").run()


def test_without_an_added_model_the_page_says_where_to_add_one(tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    at = choose_transcoder()
    assert "Add one on the Models page" in at.info[0].value
    assert at.button(key="train_start").disabled


def test_answers_become_a_request_that_survives_its_folder(models, monkeypatch):
    requests = []
    monkeypatch.setattr("pages.ui.train.run.start_training", requests.append)
    at = choose_transcoder()
    assert "All 3 layers get features." in [item.value for item in at.caption]
    at.text_input(key="train_layers").set_value("1-2")
    at.radio(key="train_activation").set_value("topk")
    at.number_input(key="train_active").set_value(7).run()
    shown = [item.value for item in at.caption]
    assert any("Layers 1–2 of 3 get features. MLP outputs of the other" in item for item in shown)
    at.button(key="train_start").click().run()
    (request,) = requests
    assert request.model == str(models / "llama")
    assert (request.config.layers, request.config.k) == ("1-2", 7)
    assert request.config.transcoder_training.target_l0 == 0
    request.folder.path.mkdir(parents=True)
    request.save()
    assert TrainingRequest.load(request.folder) == request
    assert json.loads((request.folder.path / "request.json").read_text())["model"]


@pytest.mark.usefixtures("models")
def test_a_layer_that_does_not_exist_is_said_where_it_is_typed():
    at = choose_transcoder()
    at.text_input(key="train_layers").set_value("2-5").run()
    assert "there is no layer 3; the model has layers 0 to 2" in at.error[0].value
    assert at.button(key="train_start").disabled


@pytest.mark.usefixtures("models")
def test_an_estimate_is_shown_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(
        "pages.ui.train.transcoder_form.estimate_transcoder_apart", lambda *_: ESTIMATE
    )
    at = choose_transcoder()
    at.toggle(key="train_estimate").set_value(True).run()
    shown = " ".join(item.value for item in at.caption).replace("\\", "")
    assert "Time: about 4 min of training (0.5 passes of the model a token)" in shown
    assert TranscoderEstimate.from_json(json.loads(json.dumps(ESTIMATE.to_json()))) == ESTIMATE


def test_collecting_activations_is_seen_as_such_and_is_no_point_of_a_curve():
    config = cs.TranscoderTrainConfig()
    events = (
        PhaseStarted("transcoder", 400),
        Progress("transcoder", 20, 400, 512.0, {"l0": 40.0, "loss": 3.0}),
        Progress("transcoder", 20, 400, 0.0, {"harvested": 0.25}),
    )
    (view,) = view_phases(events)
    assert view.message == "step 20 of 400, collecting activations: 25%"
    assert curve(events, "transcoder")["l0"].tolist() == [40.0]
    assert seconds_left(view_phases(events[:2])[0], config) == pytest.approx(380 * 2)


def test_pages_say_which_layers_have_features(models, saved, tmp_path):
    training = cs.TranscoderTraining(n_tokens=1_000, batch_size=128, buffer_sequences=16)
    config = cs.TranscoderTrainConfig(
        layers="1-2",
        d_transcoder=24,
        n_ctx=16,
        transcoder_training=training,
        corpus=cs.CorpusConfig(skill_share=0.0, validation_every=10),
        feature_cards=cs.FeatureCardConfig(n_tokens=300),
        metric_tokens=200,
        score_prompts=0,
    )
    text = write_parquet(tmp_path / "cats.parquet", [" the cats sat s the sat cats" * 6] * 20)
    for _ in cs.train_transcoder(saved, config, text, models / "own"):
        pass
    said = "Layers 1–2 of 3 get features."
    for page in ("home", "graph"):
        at = open_page(page, model="own", prompt=" the cats", tab="table")
        assert any(said in item.value for item in at.caption), page
    (row,) = [model for model in cs.list_models(models) if model.name == "own"]
    assert row.features == "transcoder of layers 1–2"
