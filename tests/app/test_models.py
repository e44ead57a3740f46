"""The Models page: models listed, added with every error told, checked, removed when confirmed."""

import json
import shutil

import pytest
import torch

import circuitscope_core as cs
from pages.ui.prompt.examples import NEUTRAL
from pages.ui.shared import models
from pages.ui.shared.address import address_of
from pages.ui.shared.notes import cards_of, read_notes, write_notes
from pages.ui.shared.state import ADDED_BUDGET, State
from pages.ui.shared.tracing import tracing_of
from tests.app.opening import open_page
from tests.pretrained.test_load import cut, write_tokenizer
from tests.pretrained.test_model_library import save_transcoder
from tests.pretrained_families import random_module
from tests.unit.test_bundle import make_bundle


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    random_module("LLaMA-3", torch.float32).save_pretrained(folder / "llama")
    write_tokenizer(folder / "llama")
    save_transcoder(folder / "features")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    cs.save_bundle(make_bundle(), tmp_path / "tiny")
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    return tmp_path


@pytest.fixture
def weights(saved, place):
    """Return a copy of the model, which was added as “mine”."""
    folder = shutil.copytree(saved, place / ".weights")
    cs.add_model(folder / "llama", "mine", transcoder=folder / "features", models=place)
    return folder / "llama"


def fill(at, source, name="", transcoder=""):
    for key, value in (("source", source), ("name", name), ("transcoder", transcoder)):
        at.text_input(key=f"models_{key}").set_value(str(value))
    at.button[-1].click().run()
    assert not at.exception
    return at


def text_of(element):
    """Return an element's words without the marks that keep them from being Markdown."""
    return element.value.replace("\\", "")


@pytest.mark.usefixtures("place")
def test_a_model_is_added_listed_and_chosen(saved):
    at = fill(open_page("models"), saved / "llama", "mine", saved / "features")
    assert "“mine” was added" in at.success[0].value
    assert at.dataframe[0].value["name"].tolist() == ["mine", "tiny"]
    assert at.text_input(key="models_source").value == ""
    assert at.selectbox(key="models_chosen").value == "mine"
    at.button(key="models_use").click().run()
    assert at.session_state["circuitscope"].model == "mine"
    assert at.selectbox(key="sidebar_model").value == "mine"


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", ["prompt", "graph", "home", "compare", "debug", "gallery"])
def test_every_page_shows_an_added_model(name):
    at = open_page(name, model="mine", prompt=" the cats")
    assert not at.error


@pytest.mark.usefixtures("place")
def test_an_error_is_the_cores_sentence_and_leaves_nothing(saved):
    at = fill(open_page("models"), saved / "nowhere")
    assert "neither a folder nor the owner/name" in text_of(at.error[0])
    at = fill(at, saved / "llama", "tiny", saved / "features")
    assert "There is a model 'tiny'" in text_of(at.error[0])
    at = fill(at, saved / "llama", "../x", saved / "features")
    assert "is no model name" in text_of(at.error[0])
    at = fill(at, "")
    assert "No model was named" in text_of(at.error[0])
    assert models.list_models() == ("tiny",)


def test_a_check_tells_how_exact_a_model_is_and_what_is_wrong(weights):
    at = open_page("models", model="mine")
    at.button(key="models_check").click().run()
    assert "“mine” opens: 3 layers, 24 features in each" in text_of(at.success[0])
    cut(weights)
    at.button(key="models_check").click().run()
    assert "no whole safetensors file" in text_of(at.error[0])


@pytest.mark.usefixtures("weights")
def test_a_model_is_removed_when_that_is_confirmed_and_brought_back():
    at = open_page("models", model="mine")
    at.button(key="models_remove").click().run()
    assert "Its weights stay in" in at.warning[0].value
    assert models.list_models() == ("mine", "tiny")
    at.button(key="models_keep").click().run()
    assert not at.warning
    at.button(key="models_remove").click().run()
    at.button(key="models_remove_now").click().run()
    assert models.list_models() == ("tiny",)
    assert not at.warning
    at.button(key="models_undo").click().run()
    assert models.list_models() == ("mine", "tiny")


def test_a_model_gets_another_name_and_its_labels_follow(place):
    write_notes("tiny", lambda notes: notes.label(0, 1, "a label"))
    at = open_page("models", model="tiny")
    at.button(key="models_rename").click().run()
    at.text_input(key="models_new_name").set_value("../x")
    at.button[[b.label for b in at.button].index("Rename it")].click().run()
    assert "is no model name" in at.error[0].value
    at.text_input(key="models_new_name").set_value("other")
    at.button[[b.label for b in at.button].index("Rename it")].click().run()
    assert not at.exception
    assert models.list_models() == ("other",)
    assert read_notes("other").labels == {(0, 1): "a label"}
    assert not (place / ".notes" / "tiny.json").exists()


def test_the_bin_is_emptied_by_hand_when_one_is_sure(place):
    at = open_page("models", model="tiny")
    at.button(key="models_remove").click().run()
    at.button(key="models_remove_now").click().run()
    at = open_page("models")
    assert at.button(key="models_bin_empty").disabled
    at.checkbox(key="models_bin_sure").check().run()
    at.button(key="models_bin_empty").click().run()
    assert list((place / ".bin").iterdir()) == []


def test_a_hostile_record_is_text(place):
    (place / "odd").mkdir()
    record = {"format_version": 1, "name": "![x](http://evil)"}
    (place / "odd" / "model.json").write_text(json.dumps(record))
    at = open_page("models")
    assert not at.exception
    assert "![x]" not in at.warning[0].value


@pytest.fixture
def tuned(saved, place):
    """Add a model with a chat template as “tuned”."""
    folder = shutil.copytree(saved, place / ".tuned")
    (folder / "llama" / "chat_template.jinja").write_text("the {{ messages[0].content }} s")
    cs.add_model(folder / "llama", "tuned", transcoder=folder / "features", models=place)


@pytest.mark.usefixtures("tuned", "weights")
def test_a_prompt_is_a_message_where_the_model_has_a_template():
    at = open_page("prompt", model="tuned", prompt="cat")
    assert "<s> stands in front of the prompt" in said(at)
    at.toggle(key="prompt_chat").set_value(True).run()
    assert not at.error
    assert "5 of at most 64 tokens" in said(at)
    assert "Grey tokens are the model's chat template" in said(at)
    state = at.session_state["circuitscope"]
    assert (state.form, address_of(state)["form"]) == ("chat", "chat")
    at.button(key="prompt_build").click().run()
    assert not at.error
    shown = open_page("graph", model="tuned", prompt="cat", form="chat")
    assert not shown.error
    plain = open_page("prompt", model="mine", prompt="cat", form="chat")
    assert not plain.error
    assert not plain.toggle


@pytest.mark.usefixtures("weights")
def test_examples_are_neutral_for_a_model_that_was_trained_elsewhere():
    at = open_page("prompt", model="mine", prompt="cat")
    names = [button.label for button in at.button if str(button.key).startswith("prompt_example")]
    assert names == list(NEUTRAL)
    at.button(key="prompt_example_a_story").click().run()
    assert at.text_area(key="prompt_text").value == NEUTRAL["a story"]


def test_prompts_of_a_model_without_a_tokenizer_are_ids(saved, place):
    folder = shutil.copytree(saved, place / ".bare")
    (folder / "llama" / "tokenizer.json").unlink()
    cs.add_model(folder / "llama", "bare", transcoder=folder / "features", models=place)
    at = open_page("prompt", model="bare", prompt="3 1 2")
    assert not at.error
    assert "3 of at most 64 tokens" in said(at)
    at.text_area(key="prompt_text").set_value("the cat").run()
    assert "'the' is no token id" in text_of(at.error[0])


def said(at):
    return " ".join(text_of(caption) for caption in at.caption)


@pytest.mark.usefixtures("weights")
def test_graphs_of_added_models_have_a_budget_unless_the_visitor_sets_one():
    def budget(**choices):
        return tracing_of(State(prompt="one", **choices)).config.max_feature_nodes

    assert budget(model="mine") == ADDED_BUDGET
    assert budget(model="mine", max_features=7) == 7
    assert budget(model="tiny") is None


@pytest.mark.usefixtures("weights")
def test_cards_that_are_collected_later_are_shown_without_a_restart(place):
    before = models.model_key("mine")
    assert not cards_of(before)
    *_, cards = cs.collect_model_cards("mine", [" the cats sat"] * 5, [(0, 1)], models=place)
    key = models.model_key("mine")
    assert key != before
    assert cards_of(key).card(0, 1) == cards[0]
    assert cards[0].examples
