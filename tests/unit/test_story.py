"""The story of a graph: every part of the sentence is borne out by the graph and the model."""

import re

import pytest

import circuitscope_core as cs
from circuitscope_core.attribution import explain_link
from circuitscope_core.evals.exam import prompt_text
from circuitscope_core.graph import NodeKind
from circuitscope_core.interventions import Handle, run_experiment
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.view import Extras, layout_graph, tell_story
from circuitscope_core.view.story import likeliest_output, strongest_input
from tests.demo import bundle


def prompts():
    return [prompt_text(bundle().tokenizer, exam(name, 1)[0]) for name in SKILLS]


@pytest.fixture(scope="module", params=range(len(SKILLS)), ids=list(SKILLS))
def told(request):
    prompt = prompts()[request.param]
    clean = cs.run_prompt(bundle(), prompt)
    found = cs.trace(clean, prompt)
    return clean, found, tell_story(clean, found)


def test_the_sentence_names_the_likeliest_output_and_its_strongest_input(told):
    _, found, story = told
    circuit = found.circuit
    outputs = [row for row in range(len(circuit)) if circuit.node(row).kind is NodeKind.LOGIT]
    best = max(outputs, key=lambda row: float(circuit.probabilities[row]))
    assert story.output == circuit.ids[best]
    into = (circuit.edges.targets == best).nonzero().flatten()
    strongest = into[circuit.edges.weights[into].argmax()]
    assert story.source == circuit.ids[int(circuit.edges.sources[strongest])]
    assert f"({float(circuit.edges.weights[strongest]):+.1f})" in story.text
    share = float(circuit.edges.shares[strongest])
    assert ("comes mostly from" in story.text) == (share >= 0.5)


def test_heads_in_the_sentence_carried_the_edge(told):
    clean, found, story = told
    circuit = found.circuit
    source, target = (
        int(circuit.index[circuit.rows[name]]) for name in (story.source, story.output)
    )
    link = explain_link(clean, found.graph, (source,), (target,))
    named = re.search(r"fetched by heads? ([\d. →]+)(?: and ([\d. →]+))?;?", story.text)
    if named is None:
        return
    ways = {path.text: path.weight for path in link.paths}
    for way in filter(None, (part and part.strip() for part in named.groups())):
        assert ways[way.rstrip(".")] * link.weight > 0
        assert abs(ways[way.rstrip(".")]) >= 0.15 * abs(link.weight)


def test_the_outcome_is_the_models_own_without_the_node(told):
    clean, found, story = told
    node = int(found.circuit.index[found.circuit.rows[story.source]])
    done = run_experiment(found.graph, clean, (Handle((node,), "ablate"),), "iterative")
    rows = {row.token: row for row in done.outputs}
    assert story.outcomes
    for outcome in story.outcomes:
        assert outcome.before == rows[outcome.token].probability_before
        assert outcome.after == rows[outcome.token].probability_after
    best = max(done.outputs, key=lambda row: row.probability_after)
    if best.token != story.outcomes[0].token:
        assert f"switching it off gives “{best.token}” ({best.probability_after:.0%})" in story.text
    else:
        assert "stays the likeliest" in story.text


def test_every_edge_with_heads_is_one_of_the_strongest_paths(told):
    _, found, story = told
    pairs = {
        pair
        for path in cs.strongest_paths(found, 5)
        for pair in zip(path.node_ids, path.node_ids[1:], strict=False)
    }
    assert {(edge.source, edge.target) for edge in story.heads} <= pairs


def test_a_graph_of_a_feature_has_a_story_without_a_check():
    prompt = prompts()[0]
    clean = cs.run_prompt(bundle(), prompt)
    layer, position, number = cs.attribute(clean, prompt).features[-1].tolist()
    found = cs.trace(clean, prompt, targets=[cs.FeatureTarget(layer, position, number)])
    story = tell_story(clean, found)
    assert story.outcomes == ()
    assert "switch" not in story.text


def test_an_output_that_nothing_raises_is_told_as_such():
    prompt = prompts()[0]
    clean = cs.run_prompt(bundle(), prompt)
    found = cs.trace(clean, prompt)
    output = likeliest_output(found.circuit)
    found.circuit.edges.weights[found.circuit.edges.targets == output] = -1.0
    assert strongest_input(found.circuit, output) is None
    story = tell_story(clean, found)
    assert story.text.startswith("No node that was kept raises")
    assert (story.source, story.outcomes) == ("", ())


def test_the_view_carries_the_story_and_leaves_it_out_where_there_is_none():
    prompt = prompts()[0]
    clean = cs.run_prompt(bundle(), prompt)
    found = cs.trace(clean, prompt)
    story = tell_story(clean, found)
    view = layout_graph(found, bundle().tokenizer, extras=Extras(story))
    assert view.to_json()["story"]["text"] == story.text
    assert "story" not in layout_graph(found, bundle().tokenizer).to_json()
