"""A model without a transcoder: its second prompt, its graph, and the test by patching."""

import pytest
import torch

import circuitscope_core as cs
from tests.app.opening import open_app, open_page
from tests.pretrained.test_load import write_tokenizer
from tests.pretrained_families import random_module
from tests.unit.test_bundle import make_bundle

PROMPT, SECOND = "the cats the cats", "the dogs the cats"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "llama"
    random_module("LLaMA-3", torch.float32).save_pretrained(folder)
    write_tokenizer(folder)
    models = tmp_path_factory.mktemp("models")
    cs.add_model(folder, "mine", models=models)
    return models


@pytest.fixture(autouse=True)
def place(saved, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", saved)


def text_of(elements):
    return " ".join(element.value.replace("\\", "") for element in elements)


def test_the_prompt_page_asks_for_a_second_prompt_and_builds_the_graph():
    at = open_page("prompt", model="mine", prompt=PROMPT)
    assert "This model has no transcoder" in text_of(at.caption)
    at.text_input(key="prompt_against").set_value(SECOND).run()
    assert not at.exception
    assert "which are compared one by one" in text_of(at.caption)
    assert len(at.dataframe) == 2  # the likeliest tokens after each prompt
    at.button(key="prompt_build").click().run()
    assert not at.exception
    assert "neurons" in text_of(at.markdown)
    assert at.session_state["circuitscope"].against == SECOND


def test_the_graph_page_patches_the_neurons_and_says_what_came_of_it():
    at = open_page("graph", model="mine", prompt=PROMPT, against=SECOND, tab="intervene")
    assert not at.exception
    assert at.text_input(key="graph_against").value == SECOND
    at.button(key="graph_patch").click().run()
    assert not at.exception
    told = text_of(at.markdown)
    assert "of the difference is left" in told
    assert "drawn by chance" in told
    assert "Exact:" in told


def test_patching_without_a_second_prompt_is_an_error_that_says_what_to_do():
    at = open_page("graph", model="mine", prompt=PROMPT, tab="intervene")
    at.button(key="graph_patch").click().run()
    assert "Patching needs a second prompt" in text_of(at.error)


def test_a_selected_neuron_shows_what_it_does_alone_and_on_a_text_of_ones_own():
    bundle = cs.load_bundle(cs_models() / "mine")
    trace = cs.trace(bundle, PROMPT, against=SECOND)
    node = next(name for name in trace.circuit.ids if name[0].isdigit() and "_" in name)
    address = {"prompt": PROMPT, "against": SECOND, "node": node, "tab": "intervene"}
    at = open_page("graph", model="mine", **address)
    assert not at.exception
    assert any("Without" in element.value for element in at.header)
    assert "If only this neuron were removed" in text_of(at.caption)
    at.text_input(key="graph_trial").set_value("the dogs").run()
    assert not at.exception
    assert "Above 0" in text_of(at.caption)
    assert "Below 0" in text_of(at.caption)


def cs_models():
    from pages.ui.shared import models

    return models.MODELS


def test_home_says_that_there_is_no_transcoder_and_measures_no_faithfulness():
    at = open_page("home", model="mine")
    assert not at.exception
    assert "graphs are made of its own" in text_of(at.caption)
    assert not [button for button in at.button if button.key == "home_trust_measure"]


def test_the_demo_is_asked_of_a_model_that_was_taught_it(saved):
    cs.save_bundle(make_bundle(), saved / "tiny")
    at = open_app()
    at.selectbox(key="sidebar_model").set_value("mine").run()
    at.button(key="home_demo").click().run()
    assert not at.exception
    assert at.session_state["circuitscope"].model == "tiny"
    assert at.selectbox(key="sidebar_model").value == "tiny"
