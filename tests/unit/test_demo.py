"""The bundled demo tells the story that the README tells of it."""

from pathlib import Path

import pytest

import circuitscope_core as cs

PROMPT = "The National Digital Analytics Group ("
DEMO = Path(__file__).parents[2] / "models" / "demo"


@pytest.fixture(scope="module")
def bundle():
    return cs.load_bundle(DEMO)


@pytest.mark.parametrize(
    ("begun", "letter", "word"),
    [("N", "D", "Digital"), ("ND", "A", "Analytics"), ("NDA", "G", "Group")],
)
def test_the_letter_of_an_acronym_comes_from_its_word_through_two_heads(
    bundle, begun, letter, word
):
    graph = cs.attribute(bundle, PROMPT + begun)
    output = graph.logit_nodes.start
    assert graph.logit_texts[0] == letter
    strongest = int(graph.adjacency[output, graph.token_nodes].argmax())
    assert strongest == 1 + PROMPT.index(word)
    paths = cs.explain_edge(graph, graph.index_of_token(strongest), output).paths
    assert {path.text for path in paths[:2]} == {"2.0", "2.1"}
