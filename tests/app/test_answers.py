"""A whole answer in one graph: asked for on the Prompt page, shown on the Graph page."""

import json

import pytest

import circuitscope_core as cs
from circuitscope_core.graph import NodeKind
from pages.ui.shared.address import address_of, read_address
from pages.ui.shared.state import State
from pages.ui.shared.tracing import show, tracing_of
from tests.app.opening import open_page

PROMPT = "The National Digital Analytics Group (N"


def text_of(at):
    return " ".join(item.value for item in (*at.caption, *at.markdown)).replace("\\", "")


def test_the_prompt_page_explains_an_answer_that_is_given():
    at = open_page("prompt", prompt=PROMPT)
    at.radio(key="prompt_target").set_value("answer").run()
    at.text_input(key="prompt_answer").set_value("DAG)").run()
    assert not at.exception
    assert "4 tokens, each an output" in text_of(at)
    state = at.session_state["circuitscope"]
    assert (state.target, state.answer) == ("answer", "DAG)")
    at.button(key="prompt_build").click().run()
    assert not at.exception
    assert not at.error
    assert "The graph is ready" in at.status[0].label


def test_without_a_text_it_is_the_models_own_answer():
    at = open_page("prompt", prompt=PROMPT, target="answer")
    at.number_input(key="prompt_answer_tokens").set_value(2).run()
    assert not at.exception
    assert "the model's own: 2 tokens" in text_of(at)
    assert at.session_state["circuitscope"].answer_tokens == 2


def test_an_answer_too_long_says_so():
    at = open_page("prompt", prompt=PROMPT, target="answer", answer="x" * 300)
    assert "Shorten them by" in at.error[0].value


def test_the_address_keeps_the_answer():
    state = State(target="answer", answer="DAG)", answer_tokens=7)
    found, dropped = read_address(address_of(state))
    assert (found, dropped) == (state, ())
    assert read_address({"answer_tokens": "0"})[1] == ("answer_tokens",)
    assert read_address({"answer_tokens": "65"})[1] == ("answer_tokens",)


@pytest.fixture(scope="module")
def shown():
    state = State(model="demo", prompt=PROMPT, target="answer", answer="DAG)")
    return show(tracing_of(state), state)


def test_the_graph_page_draws_each_output_over_its_own_token(shown):
    graph = shown.pruned.graph
    first = len(cs.load_bundle("models/demo").tokenizer.encode(PROMPT))
    assert graph.prompt == PROMPT + "DAG"
    picture = shown.view.full
    outputs = [node for node in picture.nodes if node.kind == NodeKind.LOGIT]
    assert [node.position for node in outputs] == list(range(first, first + 4))
    for node in outputs:
        column = picture.columns[node.position]
        assert column.start <= node.x <= column.end
    told = {fact["name"]: fact["value"] for fact in json.loads(shown.text)["facts"]}
    assert told["Answer"].startswith("“DAG)”")


def test_the_graph_page_changes_nodes_under_an_answer(shown):
    node = next(node for node in shown.view.full.nodes if node.kind == NodeKind.FEATURE)
    at = open_page(
        "graph", prompt=PROMPT, target="answer", answer="DAG)", node=node.id, tab="intervene"
    )
    at.button(key="graph_apply").click().run()
    assert not at.exception
    assert not at.error
    tables = [item.value for item in at.dataframe if "probability_after" in item.value]
    assert list(tables[-1]["token"]) == list("DAG)")


def test_the_compare_page_holds_the_same_answer_after_two_prompts():
    given = {"target": "answer", "answer": "DAG)", "with": "The Federal Digital Art Group (F"}
    at = open_page("compare", prompt=PROMPT, **given)
    assert not at.error
