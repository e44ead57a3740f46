"""SmolLM2-135M from the package index: a real graph of its own neurons, and what patching says."""

import sys
from pathlib import Path

import pytest

import circuitscope_core as cs

pytest.importorskip("transformers")
ROOT = Path(__file__).parents[2]
PROMPT, SECOND = "The capital of France is", "The capital of Japan is"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "bench"))
    from get_smollm2 import get_smollm2

    folder = tmp_path_factory.mktemp("smollm2") / "SmolLM2-135M"
    try:
        get_smollm2(folder)
    except OSError as error:
        pytest.skip(f"SmolLM2 is not here: {error}")
    finally:
        sys.path.pop(0)
    return cs.make_bundle(cs.load_model(folder))


@pytest.fixture(scope="module")
def trace(bundle):
    contrast = cs.TokenDifference(" Paris", " Tokyo")
    return cs.trace(bundle, PROMPT, targets=[contrast], against=SECOND)


def test_it_knows_the_capital_and_its_rows_add_up(bundle, trace):
    clean = cs.run_prompt(bundle, PROMPT)
    assert bundle.tokenizer.token_text(int(clean.logits.argmax())) == " Paris"
    graph = trace.graph
    assert graph.n_features == 200
    rows = graph.target_nodes
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    assert float(((got - graph.pre_activations[rows]).abs() / size).max()) < 1e-5


def test_its_neurons_make_the_answer_and_others_do_not(bundle, trace):
    curve = cs.verify_by_patching(bundle, trace.graph)
    assert curve.clean > 4
    assert curve.other < -4
    assert curve.flips_at is not None
    assert curve.flips_at <= 30
    assert curve.left[-1] < 0.2
    assert min(curve.left_by_chance) > 0.9


def test_a_neuron_that_is_silent_here_and_says_japanese_there_is_named_so(trace):
    assert any("not →" in name and "Japan" in name for name in trace.circuit.names)
