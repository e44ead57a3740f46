"""The Compare page: two prompts or two models, by hand and by link, and what goes wrong."""

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import circuitscope_core as cs
from pages.ui.shared.state import DEMO_PROMPT
from tests.app.opening import open_page

ROOT = Path(__file__).parents[2]
SECONDS = 60
OTHER = "The National Digital Advisory Group (N"


@pytest.fixture
def two_models(tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    for name in ("one", "two"):
        shutil.copytree(ROOT / "models/demo", tmp_path / name)
        record = json.loads((tmp_path / name / "bundle.json").read_text())
        (tmp_path / name / "bundle.json").write_text(json.dumps({**record, "name": name}))
    return tmp_path


def test_the_first_visit_suggests_another_prompt_and_compares():
    at = open_page("compare")
    assert not at.exception
    assert not at.error
    assert at.text_area[0].value == DEMO_PROMPT
    assert at.text_area(key="compare_prompt").value not in ("", DEMO_PROMPT)
    assert [metric.label for metric in at.metric] == [
        "Nodes in both",
        "Nodes only in A",
        "Nodes only in B",
    ]
    assert [item.value for item in at.header] == [
        "Largest differences of nodes",
        "Largest differences of edges",
    ]


def test_it_is_reachable_from_the_app():
    at = AppTest.from_file(ROOT / "app.py", default_timeout=SECONDS).run()
    at.switch_page("pages/compare.py").run()
    assert not at.exception
    assert at.title[0].value == "Compare"


def test_a_link_reproduces_a_comparison():
    at = open_page("compare")
    at.text_area(key="compare_prompt").set_value(OTHER).run()
    address = dict(at.query_params)
    assert (address["with"], address["with_model"]) == (OTHER, "demo")
    again = open_page("compare", **{name: str(value) for name, value in address.items()})
    assert again.text_area(key="compare_prompt").value == OTHER
    assert [metric.value for metric in again.metric] == [metric.value for metric in at.metric]


def test_the_numbers_are_those_of_the_core():
    at = open_page("compare", **{"with": OTHER, "nodes": "0.9"})
    bundle = cs.load_bundle(ROOT / "models/demo")
    a, b = (
        cs.prune_graph(cs.attribute(bundle, prompt), 0.9, 0.98) for prompt in (DEMO_PROMPT, OTHER)
    )
    found = cs.compare_graphs(a, b, same_features=True)
    sides = [node.side for node in found.nodes]
    assert [metric.value for metric in at.metric] == [
        f"{sides.count(side):,}" for side in ("both", "a", "b")
    ]
    nodes = at.dataframe[2].value
    most = max(found.nodes, key=lambda node: abs(node.change))
    assert nodes["change"][0] == pytest.approx(100 * most.change, rel=1e-4)
    assert set(nodes["kept"]) <= {"both", "only A", "only B"}


def test_swapping_exchanges_the_two():
    at = open_page("compare", **{"with": OTHER})
    before = [metric.value for metric in at.metric]
    at.button(key="compare_swap").click().run()
    assert not at.exception
    assert at.text_area[0].value == OTHER
    assert at.text_area(key="compare_prompt").value == DEMO_PROMPT
    assert at.query_params["prompt"] == OTHER
    both, only_a, only_b = before
    assert [metric.value for metric in at.metric] == [both, only_b, only_a]


def test_a_graph_compared_with_itself_is_said_to_be_the_same():
    at = open_page("compare", **{"with": DEMO_PROMPT})
    assert not at.exception
    assert "The two graphs are the same." in at.info[0].value
    assert not at.metric


@pytest.mark.usefixtures("two_models")
def test_features_of_two_models_are_not_the_same():
    at = open_page("compare", model="one", **{"with": DEMO_PROMPT, "with_model": "two"})
    assert not at.exception
    assert "come from different models" in at.info[0].value
    at.button(key="compare_swap").click().run()
    assert not at.exception
    assert at.selectbox(key="sidebar_model").value == "two"
    assert at.selectbox(key="compare_model").value == "one"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({"with": "x" * 300}, "Graph B cannot be made. The prompt has 301 tokens"),
        ({"prompt": "x" * 300, "with": "y"}, "Graph A cannot be made. The prompt has 301 tokens"),
    ],
)
def test_a_prompt_that_is_too_long_is_named(address, said):
    at = open_page("compare", **address)
    assert not at.exception
    assert at.error[0].value.startswith(said)


def test_an_empty_prompt_is_named():
    at = open_page("compare")
    at.text_area(key="compare_prompt").set_value("").run()
    assert at.error[0].value.startswith("Graph B cannot be made. The prompt is empty")


def test_a_model_that_is_not_there_is_named_and_replaced():
    at = open_page("compare", **{"with": OTHER, "with_model": "../![x](y)"})
    assert not at.exception
    assert "There is no model" in at.warning[0].value
    assert "![" not in at.warning[0].value
    assert at.selectbox(key="compare_model").value == "demo"


def test_where_the_graph_explains_a_feature_next_tokens_are_compared():
    at = open_page("compare", target="feature", feature="0.1.1", **{"with": OTHER})
    assert not at.exception
    assert not at.error
    assert "explain the next token" in at.info[0].value


def test_without_a_model_the_page_says_where_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    at = open_page("compare")
    assert not at.exception
    assert "There is no model" in at.error[0].value
