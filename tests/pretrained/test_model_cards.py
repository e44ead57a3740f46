"""Cards of a model that was added: collected, saved with it, loaded, listed, never overwritten."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.cli import main
from circuitscope_core.view import layout_graph
from tests.pretrained.test_load import write_tokenizer
from tests.pretrained.test_model_library import save_transcoder
from tests.pretrained_families import random_module
from tests.unit.test_bundle import make_bundle
from tests.unit.test_published_cards import card_json, write_packed

TEXTS = [" the cats sat", " cats the the", " sat s the cats"] * 9
PLACES = [(0, 3), (2, 5)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "llama"
    random_module("LLaMA-3", torch.float32).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture
def models(saved, tmp_path):
    """A folder with the model ``mine``, whose features are its neurons."""
    cs.add_model(saved, "mine", models=tmp_path / "models")
    return tmp_path / "models"


def collect(models, places=PLACES, texts=TEXTS, **given):
    *_, cards = cs.collect_model_cards("mine", texts, places, models=models, **given)
    return cards


def test_cards_are_saved_with_the_model_and_loaded_with_it(models):
    assert not cs.list_models(models)[0].has_cards
    cards = collect(models)
    loaded = cs.load_bundle(models / "mine").feature_cards
    assert list(loaded) == list(cards)
    assert [(card.layer, card.feature) for card in loaded] == PLACES
    assert any(item.below for card in loaded for item in card.examples)
    assert sorted(path.name for path in (models / "mine").iterdir()) == [
        "feature_cards.parquet",
        "model.json",
    ]
    assert cs.list_models(models)[0].has_cards
    cs.remove_model("mine", models)
    assert not (models / "mine").exists()


def test_cards_are_replaced_only_when_that_is_asked_for(models):
    collect(models)
    path = models / "mine" / "feature_cards.parquet"
    before = path.read_bytes()
    with pytest.raises(cs.BundleError, match=r"has feature cards already.*--replace"):
        collect(models, [(0, 0)])
    assert path.read_bytes() == before
    assert len(collect(models, [(0, 0)], replace=True)) == 1
    assert len(cs.load_bundle(models / "mine").feature_cards) == 1


def test_a_collection_that_stopped_goes_on_and_leaves_no_file_behind(models):
    whole = list(collect(models))
    steps = cs.collect_model_cards("mine", TEXTS, PLACES, models=models, replace=True)
    next(event for event in steps if event.share > 0)
    steps.close()
    state = models / "mine" / ".cards.safetensors"
    assert state.is_file()
    with pytest.raises(cs.ConfigError, match="checkpoint of other cards"):
        collect(models, [(1, 1)], replace=True)
    assert list(collect(models, replace=True)) == whole
    assert not state.exists()
    steps = cs.collect_model_cards("mine", TEXTS, PLACES, models=models, replace=True)
    next(event for event in steps if event.share > 0)
    steps.close()
    cs.remove_model("mine", models)
    assert not (models / "mine").exists()


def test_cards_that_are_not_the_models_are_refused(models):
    collect(models)
    path = models / "mine" / "feature_cards.parquet"
    table = pq.read_table(path)
    layers = pa.array([0, 9], pa.int32())
    pq.write_table(table.set_column(0, "layer", layers), path)
    with pytest.raises(cs.BundleError, match="card of feature 5 of layer 9; the model has 3"):
        cs.load_bundle(models / "mine")
    pq.write_table(pa.concat_tables([table, table]), path)
    with pytest.raises(cs.BundleError, match="two cards of one feature"):
        cs.load_bundle(models / "mine")
    path.write_bytes(b"junk")
    with pytest.raises(cs.BundleError, match="cannot be read"):
        cs.load_bundle(models / "mine")


def test_a_trained_bundle_is_refused(models):
    cs.save_bundle(make_bundle(), models / "tiny")
    with pytest.raises(cs.BundleError, match="is a trained bundle"):
        list(cs.collect_model_cards("tiny", TEXTS, models=models))
    with pytest.raises(cs.BundleError, match="no model"):
        list(cs.collect_model_cards("../mine", TEXTS, models=models))


def test_a_graph_shows_the_examples_of_both_sides_of_a_neuron(models):
    bundle = cs.load_bundle(models / "mine")
    graph = cs.attribute(bundle, " the cats", max_feature_nodes=20)
    collect(models, cs.places_of([graph]))
    bundle = cs.load_bundle(models / "mine")
    found = cs.trace(
        bundle, " the cats", cs.TraceConfig(cs.AttributionConfig(max_feature_nodes=20))
    )
    view = layout_graph(found, bundle.tokenizer, found.cards)
    data = json.loads(view.to_text())
    both = [
        card
        for card in data["cards"].values()
        if {bool(item.get("below")) for item in card["examples"]} == {False, True}
    ]
    assert both
    for card in both:
        assert card["label"] != card["label_below"]
        assert card["min_activation"] < 0 < card["max_activation"]
        assert sum(card["histogram_below"]) > 0
        for item in card["examples"]:
            assert (dict(item["heat"])[item["peak"]] < 0) == bool(item.get("below"))
    page = cs.export_html(found, bundle, models / "page.html").read_text(encoding="utf-8")
    assert '"below":true' in page


def test_published_cards_beside_the_transcoder_are_loaded(saved, tmp_path):
    transcoder = save_transcoder(tmp_path / "features-of-mine")
    write_packed(transcoder / "features", [[card_json(0, n) for n in range(4)]])
    cs.add_model(saved, "mine", transcoder=transcoder, models=tmp_path / "models")
    assert cs.list_models(tmp_path / "models")[0].has_cards
    bundle = cs.load_bundle(tmp_path / "models" / "mine")
    assert "".join(bundle.feature_cards.card(0, 1).examples[0].texts) == "group (NDAG) of data"
    found = cs.trace(bundle, " the cats")
    view = layout_graph(found, bundle.tokenizer, found.cards)
    assert len(view.cards) == len(cs.places_of([found]))


def test_the_shell_collects_cards_of_the_features_of_graphs(models, tmp_path, capsys):
    graph = cs.attribute(cs.load_bundle(models / "mine"), " the cats", max_feature_nodes=6)
    graph.save(tmp_path / "graph.safetensors")
    text = tmp_path / "text.parquet"
    pq.write_table(pa.table({"text": TEXTS}), text)
    parts = ["--models", str(models), "--text", str(text)]
    wanted = [*parts, "--graphs", str(tmp_path / "graph.safetensors"), "--tokens", "60"]
    assert main(["models", "cards", "mine", *wanted]) == 0
    said = capsys.readouterr().out
    n_places = len(cs.places_of([graph]))
    assert f"Saved {n_places} feature cards of mine" in said
    for words in ("Read the text", "Find the strongest examples", "Count activations", "100 %"):
        assert words in said
    assert main(["models", "cards", "mine", *wanted, "--json"]) == 1
    assert "has feature cards already" in json.loads(capsys.readouterr().out)["error"]
    assert main(["models", "cards", "mine", *wanted, "--replace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"cards": n_places}
    assert main(["models", "list", "--models", str(models)]) == 0
    assert "own neurons, feature cards" in capsys.readouterr().out
