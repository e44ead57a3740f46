"""Every page alone, every page from the app, and what goes wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.evals.exam import prompt_text
from circuitscope_core.skills import SKILLS, exam
from pages.ui.shared.state import DEMO_PROMPT
from tests.app.opening import open_app, open_page
from tests.demo import bundle

ROOT = Path(__file__).parents[2]
TITLES = {"home": "CircuitScope", "prompt": "Prompt", "graph": "Graph", "gallery": "Gallery"}
SECONDS = 60


@pytest.mark.parametrize("name", TITLES)
def test_a_page_stands_alone(name):
    at = open_page(name)
    assert not at.exception
    assert not at.error
    assert not at.warning
    assert at.title[0].value == TITLES[name]


@pytest.mark.parametrize("name", TITLES)
def test_a_page_is_reachable_from_the_app(name):
    at = open_app(name)
    assert at.title[0].value == TITLES[name]


def test_the_table_of_a_first_visit_has_features_and_says_which():
    at = open_page("graph", tab="table")
    assert len(at.dataframe[0].value) > 0
    assert any("features that are active on the prompt" in item.value for item in at.caption)


def test_the_prompt_is_edited_in_place_and_traced_again():
    at = open_page("graph")
    at.text_input(key="graph_prompt").set_value("one two").run()
    assert not at.exception
    assert at.query_params["prompt"] == "one two"
    assert at.session_state["circuitscope"].prompt == "one two"


def test_a_prompt_of_several_lines_keeps_them_when_it_is_edited():
    at = open_page("graph", prompt="one\ntwo")
    assert at.text_input(key="graph_prompt").value == "one↵two"
    at.text_input(key="graph_prompt").set_value("one↵two three").run()
    assert at.session_state["circuitscope"].prompt == "one\ntwo three"


def test_heads_of_the_story_stand_in_their_tab_before_anything_is_selected():
    at = open_page("graph", tab="heads")
    assert any("Inside the edge" in item.value for item in at.header)
    assert "weight" in at.dataframe[0].value


def test_the_gallery_shows_every_skill_and_opens_its_graph():
    at = open_app("gallery")
    assert [title.value.lower() for title in at.header] == list(SKILLS)
    prompts = [prompt_text(bundle().tokenizer, exam(name, 1)[0]) for name in SKILLS]
    assert [code.value for code in at.code] == prompts
    pictures = [item for item in at.get("html") if "<img" in item.proto.body]
    assert len(pictures) == len(SKILLS)
    assert all('alt="“' in item.proto.body for item in pictures)
    at.button(key="gallery_plurals").click().run()
    assert not at.exception
    assert at.title[0].value == "Graph"
    assert at.session_state["circuitscope"].prompt == prompts[list(SKILLS).index("plurals")]


@pytest.fixture
def skill_table():
    """The table of skills, which a test may change: it is put back afterwards in its own order.

    The order matters: it decides every later skill text of this process.
    """
    before = dict(SKILLS)
    yield SKILLS
    SKILLS.clear()
    SKILLS.update(before)


def test_the_gallery_shows_a_skill_that_was_added(skill_table):
    added = replace(SKILLS["counting"], name="counting again")
    for name in list(skill_table)[2:]:
        del skill_table[name]
    skill_table[added.name] = added
    skill_table["counting"] = replace(added, name="counting")
    at = open_page("gallery")
    assert [title.value.lower() for title in at.header] == list(skill_table)
    assert len(skill_table) % 3


def test_a_lower_threshold_keeps_fewer_nodes():
    at = open_page("graph", tab="table")

    def n_kept():
        return sum(len(item.value) for item in at.dataframe[:1])

    before = n_kept()
    at.slider(key="graph_node_threshold").set_value(0.4).run()
    assert not at.exception
    assert n_kept() < before
    assert at.query_params["nodes"] == "0.4"


def test_an_address_opens_what_it_names():
    at = open_page("graph", prompt="one two", nodes="0.6", edges="0.9")
    assert at.slider(key="graph_node_threshold").value == 0.6
    assert at.slider(key="graph_edge_threshold").value == 0.9
    assert at.query_params["prompt"] == "one two"


def test_nonsense_in_the_address_is_named():
    at = open_page("graph", nodes="many", model="../../etc")
    assert not at.exception
    warnings = " ".join(warning.value for warning in at.warning)
    assert "nodes" in warnings
    assert "../../etc" in warnings


def n_tokens_over(n):
    """Return how many of ``n`` tokens behind the opening one are too many for the demo."""
    return n + 1 - bundle().model.config.n_ctx


def test_an_impossible_prompt_shows_the_core_message_and_a_way_out():
    at = open_page("graph", prompt="Q" * 300)  # capitals are single tokens
    assert f"Shorten it by {n_tokens_over(300)}" in at.error[0].value
    at.button(key="graph_demo").click().run()
    assert not at.error
    assert at.query_params["prompt"] == DEMO_PROMPT


def test_the_prompt_page_names_a_prompt_that_is_too_long():
    at = open_page("prompt")
    at.text_area(key="prompt_text").set_value("Q" * 300).run()
    assert not at.exception
    assert f"Shorten it by {n_tokens_over(300)}" in at.error[0].value


def test_the_prompt_page_names_an_empty_prompt():
    at = open_page("prompt")
    at.text_area(key="prompt_text").set_value("").run()
    assert at.error[0].value == "The prompt is empty. Type at least one character."


def test_the_prompt_page_warns_of_white_space_and_other_scripts():
    at = open_page("prompt")
    at.text_area(key="prompt_text").set_value("to 東 ").run()
    warnings = " ".join(info.value for info in at.info)
    assert "white space" in warnings
    assert "1 character" in warnings


def test_the_prompt_page_builds_a_graph_and_links_to_it():
    at = open_page("prompt", prompt="not traced before")
    at.button(key="prompt_build").click().run()
    assert not at.exception
    assert not at.error
    assert at.status[0].state == "complete"
    said = " ".join(item.value for item in at.status[0].markdown)
    assert "Encode the features" in said
    assert "nodes kept" in said


def test_an_example_fills_the_prompt_in():
    at = open_page("prompt", prompt="something else")
    at.button(key="prompt_example_acronyms").click().run()
    assert not at.exception
    assert at.text_area(key="prompt_text") != "something else"


def test_settings_of_the_graph_decide_what_it_explains():
    at = open_page("prompt", budget="50", logits="2")
    at.number_input(key="prompt_logit_probability").set_value(1.0).run()
    at.button(key="prompt_build").click().run()
    assert not at.exception
    assert any("50 active features" in text.value for text in at.markdown)
    state = at.session_state["circuitscope"]
    assert (state.max_logits, state.logit_probability, state.max_features) == (2, 1.0, 50)
    graph = open_page("graph", budget="50", logits="2", probability="1", tab="table")
    assert "The graph has 50 of the" in " ".join(caption.value for caption in graph.caption)


def test_a_difference_needs_two_tokens():
    at = open_page("prompt")
    at.radio(key="prompt_target").set_value("difference").run()
    at.button(key="prompt_build").click().run()
    assert at.error[0].value == "A difference needs two tokens. Type both."
    at.text_input(key="prompt_token").set_value("DA")
    at.text_input(key="prompt_minus").set_value("X").run()
    at.button(key="prompt_build").click().run()
    assert "give exactly one" in at.error[0].value
    at.text_input(key="prompt_token").set_value("D").run()
    at.button(key="prompt_build").click().run()
    assert not at.error


@pytest.fixture(scope="module")
def feature():
    """Layer, position and number of the demo graph's most influential feature."""
    graph = cs.attribute(cs.load_bundle(ROOT / "models/demo"), DEMO_PROMPT)
    influence = cs.prune_graph(graph).node_influence
    return graph.features[int(influence[: graph.n_features].argmax())].tolist()


def test_a_feature_is_explained_and_the_next_token_again(feature):
    layer, position, number = feature
    at = open_page("graph", target="feature", feature=f"{layer}.{position}.{number}")
    assert not at.exception
    assert not at.error
    assert at.session_state["circuitscope"].target == "feature"
    at.button(key="graph_explain_output").click().run()
    assert not at.exception
    assert at.session_state["circuitscope"].target == "automatic"
    assert "graph_explain_output" not in {button.key for button in at.button}


def test_the_selected_feature_can_be_explained(feature):
    layer, position, number = feature
    at = open_page("graph", node=f"{layer}_{number}_{position}", tab="intervene")
    at.button(key="graph_explain_feature").click().run()
    assert not at.exception
    state = at.session_state["circuitscope"]
    assert (state.target, state.feature) == ("feature", f"{layer}.{position}.{number}")


@pytest.mark.parametrize(
    ("feature", "said"),
    [("", "names no feature"), ("2.x.1", "names no feature"), ("2.999.1", "position 999")],
)
def test_a_feature_that_is_none_is_refused(feature, said):
    at = open_page("prompt", target="feature", feature=feature)
    at.button(key="prompt_build").click().run()
    assert said in at.error[0].value


def test_home_leads_to_the_demo_graph():
    at = open_app()
    at.button(key="home_demo").click().run()
    assert not at.exception
    assert at.title[0].value == "Graph"


@pytest.mark.parametrize("name", TITLES)
def test_without_a_model_a_page_says_where_to_get_one(name, tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    at = open_page(name)
    assert not at.exception
    assert "There is no model" in at.error[0].value
