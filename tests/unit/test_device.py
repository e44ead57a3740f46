"""No tensor is made on the default device: all follow the model's, so that a GPU can be used."""

from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.training import (
    CheckpointFile,
    Pace,
    TokenWindows,
    TranscoderTrainer,
)
from circuitscope_core.training.shuffle_buffer import BufferPlan
from circuitscope_core.transcoder import CrossLayerTranscoder
from tests.samples import PROMPT, tiny_model, tiny_replacement

KINDS = [{}, {"transcoder": {"cross_layer": False, "skip_connection": True}}]


@contextmanager
def no_default_device():
    """Make every tensor that names no device one without contents, which nothing can use."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


def test_the_guard_finds_a_tensor_on_the_default_device():
    with no_default_device(), pytest.raises((RuntimeError, NotImplementedError)):
        (torch.ones(3, device="cpu") + torch.ones(3)).tolist()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("budget", [None, 20])
def test_graphs_are_built_and_pruned_where_the_model_is(kind, budget):
    replacement = tiny_replacement(n_layers=3, **kind)
    expected = cs.attribute(replacement, PROMPT, max_feature_nodes=budget)
    with no_default_device():
        trace = cs.trace(
            replacement, PROMPT, cs.TraceConfig(cs.AttributionConfig(max_feature_nodes=budget))
        )
        edge = trace.graph.adjacency[trace.graph.logit_nodes.start].nonzero()[0]
        cs.explain_edge(replacement, trace.graph, int(edge), trace.graph.logit_nodes.start)
        cs.explain_attention(replacement, trace.graph, (1, 0), 5, 2)
    assert torch.equal(trace.graph.adjacency, expected.adjacency)
    assert torch.equal(trace.graph.bias, expected.bias)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("mode", ["direct", "constrained", "iterative"])
def test_interventions_run_where_the_model_is(kind, mode):
    replacement = tiny_replacement(n_layers=3, **kind)
    graph = cs.attribute(replacement, PROMPT)
    nodes = [0, graph.index_of_error(1, 4), graph.index_of_token(3)]
    changes = cs.change_nodes(graph, nodes)
    expected = cs.intervene(replacement, PROMPT, changes, mode=mode)
    with no_default_device():
        found = cs.intervene(replacement, PROMPT, changes, mode=mode)
        many = cs.intervene_many(replacement, PROMPT, [changes, changes[:1]], mode=mode)
        cs.predict_total(graph, torch.zeros(graph.n_nodes, device="cpu"))
    assert torch.equal(found.logits_after, expected.logits_after)
    torch.testing.assert_close(
        many.logits_after[0], expected.logits_after[-1], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_answers_and_pairs_are_computed_where_the_model_is(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    expected = cs.attribute(replacement, PROMPT, answer="avy")
    curve = cs.verify_by_patching(replacement, expected, "The Army (A")
    answered = cs.answer_prompt(replacement, PROMPT, "avy")
    changes = cs.change_nodes(expected, [0])
    with no_default_device():
        trace = cs.trace(replacement, PROMPT, answer="avy")
        result = cs.intervene(replacement, answered, changes)
        moved = result.output_changes(expected)
        again = cs.verify_by_patching(replacement, expected, "The Army (A")
        cs.answer_prompt(replacement, PROMPT, 3)
    assert torch.equal(trace.graph.adjacency, expected.adjacency)
    assert moved.isfinite().all()
    assert again == curve


TOPK = {"activation": "topk", "k": 3, "cross_layer": False}
REAL = {"layers": (0, 2), "buffer": BufferPlan(8, torch.bfloat16)}
"""Some layers of a model, and activations in fewer digits: as real models are trained on."""


def train_three_steps(folder, device, weight=0.25, kind=None, **given):
    model = tiny_model(n_layers=3 if "layers" in given else 2).to(device)
    torch.manual_seed(0)
    tokens = torch.randint(0, 257, (400,), device="cpu").numpy()
    config = cs.TranscoderConfig(2, 8, d_transcoder=16, **(kind or {}))
    return TranscoderTrainer(
        model=model,
        transcoder=CrossLayerTranscoder(config).to(device),
        train=TokenWindows.of(tokens, 256, 16),
        settings=cs.TranscoderTraining(
            n_tokens=192, batch_size=64, buffer_sequences=8, causal_weight=weight
        ),
        **given,
        seed=0,
        pace=Pace(event_steps=1, checkpoint_seconds=float("inf")),
        checkpoint=CheckpointFile(Path(folder) / "checkpoint.safetensors"),
    )


@pytest.mark.parametrize(
    "given",
    [{}, REAL, {**REAL, "weight": 0.0, "independent": True, "kind": TOPK}],
    ids=["small", "real", "top-k"],
)
def test_a_training_step_runs_where_the_model_is(tmp_path, given):
    trainer = train_three_steps(tmp_path, "cpu", **given)
    with no_default_device():
        for _ in trainer.events():
            pass
    weights = [parameter.detach() for parameter in trainer.folded().parameters()]
    assert all(weight.isfinite().all() for weight in weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.cuda
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_cuda_device_gives_the_same_graph(tmp_path, kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    expected = cs.trace(replacement, PROMPT)
    replacement.model.to("cuda")
    replacement.transcoder.to("cuda")
    found = cs.trace(replacement, PROMPT)
    assert found.graph.adjacency.device.type == "cpu"
    largest = expected.graph.adjacency.abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
    assert ((found.graph.adjacency - expected.graph.adjacency).abs() / largest).max() < 1e-4
    changes = cs.change_nodes(found.graph, [0])
    for mode in ("direct", "constrained", "iterative"):
        cs.intervene_many(replacement, PROMPT, [changes], mode=mode)
    answered = cs.trace(replacement, PROMPT, answer="avy")
    cs.verify_by_patching(replacement, answered, "The Army (A")
    for _ in train_three_steps(tmp_path, "cuda").events():
        pass
