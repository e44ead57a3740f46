"""The bundled demo tells the story that docs/concepts.md tells of it."""

import re

import pytest
import torch

import circuitscope_core as cs
from docs.tell_story import DEMO, ENDINGS, PROMPT, graph_row, model_row, tell
from tests.test_architecture import ROOT

PAGE = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"[+-]?\d+\.?\d*")


@pytest.fixture(scope="module")
def bundle():
    return cs.load_bundle(DEMO)


@pytest.fixture(scope="module")
def story(bundle):
    return [tell(bundle, *ending) for ending in ENDINGS]


def assert_told(row):
    """Compare a row with the page's row that begins alike: words exactly, numbers nearly."""
    lines = [line for line in PAGE.splitlines() if NUMBER.sub("#", line) == NUMBER.sub("#", row)]
    assert lines, f"the page has no row like {row}"
    found = [list(map(float, NUMBER.findall(line))) for line in lines]
    wanted = list(map(float, NUMBER.findall(row)))
    assert any(numbers == pytest.approx(wanted, abs=0.06) for numbers in found), (row, lines)


def test_the_page_tells_what_graphs_and_model_say_of_the_example(story):
    for told in story:
        assert_told(graph_row(told))
        assert_told(model_row(told))


def test_each_letter_comes_from_its_word(story):
    for told in story:
        assert told.letter == told.word[0]
        assert told.strongest == told.word
        without_token, other_word = told.without[1:]
        assert without_token[0] != told.letter
        assert other_word[0] == "K"


def test_the_whole_answer_is_one_picture(bundle):
    trace = cs.trace(bundle, f"{PROMPT}N", answer="DAG)")
    assert trace.graph.logit_texts == ("D", "A", "G", ")")
    assert trace.graph.n_pos == 11
    kept = trace.pruned.kept_nodes
    tokens = {trace.graph.token_texts[trace.graph.node(int(n)).position] for n in kept}
    assert {" Digital", " Analytics", " Group"} <= tokens
    for place, letter in enumerate("DAG"):
        alone = cs.attribute(bundle, f"{PROMPT}N{'DAG'[:place]}", targets=[letter])
        row = alone.adjacency[alone.logit_nodes.start, alone.token_nodes]
        ours = trace.graph.adjacency[trace.graph.logit_nodes.start + place, trace.graph.token_nodes]
        torch.testing.assert_close(ours[: len(row)], row, rtol=1e-3, atol=1e-4)
