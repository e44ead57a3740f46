"""The Debug page, without a browser."""

from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.evals.debugging import find_failures
from circuitscope_core.skills import exam
from tests.app.opening import open_app
from tests.demo import skill_that_turns

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle():
    return cs.load_bundle(ROOT / "models" / "demo")


def metrics(at):
    return {item.label: item.value for item in at.metric}


def test_a_failure_of_the_exam_is_taken_apart(bundle):
    at = open_app("debug")
    skill = at.selectbox(key="debug_skill").value
    first = find_failures(bundle.replacement, exam(skill, 100))[0]
    shown = metrics(at)
    assert at.code[0].value == first.prompt
    said, wanted = (bundle.tokenizer.token_text(n).strip() for n in (first.said, first.wanted))
    assert said in shown["It says"]
    assert wanted in shown["It should say"]
    said, wanted = (item.value for item in at.dataframe[-2:])
    assert said["measured"].is_monotonic_decreasing
    assert wanted["measured"].is_monotonic_increasing
    assert said["measured"][0] > 0 > wanted["measured"][0]


def test_the_features_that_turn_an_answer_can_be_switched_off_in_the_graph():
    at = open_app("debug")
    at.selectbox(key="debug_skill").set_value(skill_that_turns()).run()
    wanted = metrics(at)["It should say"]
    assert any(f"the model says **{wanted}**" in item.value for item in at.markdown)
    at.button(key="debug_try").click().run()
    assert at.title[0].value == "Graph"
    outputs = [item.value for item in at.dataframe if "probability_after" in item.value][-1]
    after = outputs.sort_values("probability_after", ascending=False)
    assert after["token"].iloc[0] == wanted.strip("“”")


def test_a_prompt_of_ones_own_that_is_right_leaves_nothing_to_do():
    at = open_app("debug")
    at.segmented_control(key="debug_way").set_value("A prompt of your own").run()
    assert "Type the prompt" in at.info[0].value
    at.text_area(key="debug_prompt").set_value("The National Digital Analytics Group (N").run()
    at.text_input(key="debug_wanted").set_value("D").run()
    assert "nothing to turn" in at.error[0].value
    at.text_input(key="debug_wanted").set_value("K").run()
    assert metrics(at)["It should say"] == "“K”"


def test_a_letter_of_several_bytes_is_what_should_come_by_its_first_byte():
    at = open_app("debug")
    at.segmented_control(key="debug_way").set_value("A prompt of your own").run()
    at.text_area(key="debug_prompt").set_value("The National Digital Analytics Group (N").run()
    at.text_input(key="debug_wanted").set_value("東").run()
    assert not at.error
    assert "is 3 tokens" in at.info[0].value
    assert metrics(at)["It should say"] == "“\\\\xe6”"
    contrast = [button for button in at.button if button.key == "debug_contrast"]
    assert all(button.disabled for button in contrast)


def test_of_several_tokens_the_page_says_which_one_it_takes():
    at = open_app("debug")
    at.segmented_control(key="debug_way").set_value("A prompt of your own").run()
    at.text_area(key="debug_prompt").set_value("The National Digital Analytics Group (N").run()
    at.text_input(key="debug_wanted").set_value("Kx").run()
    assert "“Kx” is 2 tokens" in at.info[0].value
    assert metrics(at)["It should say"] == "“K”"


def test_the_graphs_truth_is_measured_on_the_home_page(monkeypatch):
    monkeypatch.setattr("pages.ui.home.faithfulness.COUNTS", (2, 10))
    at = open_app()
    at.button(key="home_trust_measure").click().run()
    assert not at.exception
    figures = next(item.value for item in at.dataframe if "Interval" in item.value)
    assert figures["Graph"].between(-1, 10).all()
    streams = figures[figures["Figure"].str.contains("stream one layer on: cosine")]
    assert streams["Graph"].iloc[0] > 0.8
    assert streams["Asked"].iloc[0] == 0.9
    assert any("largest error of" in item.value for item in at.caption)
