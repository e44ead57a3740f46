"""The bundled demo tells the story that the README tells of it."""

from pathlib import Path

import pytest

import circuitscope_core as cs
from circuitscope_core.interventions import (
    TokenIntervention,
    change_nodes,
    intervene_many,
)
from circuitscope_core.prompt_pass import run_prompt

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
    paths = cs.explain_edge(bundle, graph, graph.index_of_token(strongest), output).paths
    assert {path.text for path in paths[:2]} == {"2.0", "2.1"}


STORY = {
    # prompt's end: position of the letter, after ablating its features, its token, with a K instead
    "(N": (14, "D", 0.996, "A", 0.485, "K", 0.986),
    "(ND": (22, "A", 0.970, "E", 0.179, "K", 0.981),
    "(NDA": (32, "G", 0.984, ")", 0.796, "K", 0.944),
}


@pytest.mark.parametrize("ending", STORY)
def test_the_story_of_the_acronym_is_true(bundle, ending):
    position, *told = STORY[ending]
    prompt = PROMPT + ending[1:]
    clean = run_prompt(bundle, prompt)
    graph = cs.attribute(bundle, prompt)
    features = (graph.features[:, 1] == position).nonzero()[:, 0].tolist()
    token = graph.index_of_token(position)
    sets = (
        change_nodes(graph, features),
        change_nodes(graph, [token]),
        [TokenIntervention(position, token_id=ord("K"))],
    )
    after = intervene_many(clean, (), sets).logits_after.softmax(dim=1)
    found = []
    for row in after:
        found += [chr(int(row.argmax())), round(float(row.max()), 3)]
    assert found[::2] == told[::2]
    assert found[1::2] == pytest.approx(told[1::2], abs=0.002)
