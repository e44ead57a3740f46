"""The engine runs on a device that is not the CPU, and what it returns is in the host's memory."""

import dataclasses
import importlib

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core import devices
from circuitscope_core.devices import module_on
from circuitscope_core.evals.faithfulness.flips import measure_flips
from circuitscope_core.evals.faithfulness.measured_nodes import measure_nodes
from circuitscope_core.evals.faithfulness.states import measure_states
from circuitscope_core.evals.faithfulness.traced import shuffle_decoders, trace
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.interventions.experiment import Handle, run_experiment
from circuitscope_core.training import CheckpointFile, Pace, TokenWindows, TranscoderTrainer
from circuitscope_core.training.language_model import measure_loss, next_token_loss
from circuitscope_core.training.metrics import measure_replacement
from tests.other_device import NAME, Elsewhere, another_device
from tests.samples import PROMPT, tiny_replacement

pytestmark = pytest.mark.filterwarnings("ignore:at..frobenius_norm is deprecated")
KINDS = [{}, {"transcoder": {"cross_layer": False, "skip_connection": True}}]


@pytest.fixture
def there(monkeypatch):
    """Another device, which ``find_device`` knows and which has memory."""
    found = torch.device(NAME, 0)
    monkeypatch.setattr(devices, "_own_device", lambda: found)
    with another_device():
        yield found


@pytest.fixture(params=KINDS, ids=str)
def pair(request):
    """The same replacement model on the CPU and on another device."""
    with another_device() as there:
        yield both(tiny_replacement(**request.param), there)


def both(here, there):
    """Return a replacement model, and the same on a device."""
    model, transcoder = (module_on(part, there) for part in (here.model, here.transcoder))
    return here, dataclasses.replace(here, model=model, transcoder=transcoder)


def host_tensors(value):
    """Return the devices of a value's tensors."""
    return {part.device.type for part in vars(value).values() if isinstance(part, torch.Tensor)}


def test_the_guard_refuses_what_a_card_refuses(there):
    far = torch.ones(3, device=there)
    for wrong in (
        lambda: far + torch.ones(3),
        lambda: torch.cat([far, torch.ones(1)]),
        lambda: far.numpy(),
    ):
        with pytest.raises((RuntimeError, TypeError), match=r"device"):
            wrong()
    assert (2 * far).cpu().tolist() == [2, 2, 2]


def test_a_module_is_moved_as_a_value_of_its_own(pair):
    here, far = pair
    assert here.compute.device.type == "cpu"
    assert far.compute.device.type == NAME
    assert module_on(far.model, far.compute.device) is far.model


def test_graphs_are_the_same_and_in_the_hosts_memory(pair):
    here, far = pair
    for options in ({}, {"max_feature_nodes": 20}, {"answer": "avy"}):
        expected, found = (cs.attribute(one, PROMPT, **options) for one in (here, far))
        assert torch.equal(found.adjacency, expected.adjacency)
        assert host_tensors(found) == {"cpu"}
    trace_far, trace_here = cs.trace(far, PROMPT), cs.trace(here, PROMPT)
    assert vars(trace_far.scores) == vars(trace_here.scores)
    bits = (trace_far.circuit.ablation_bits, trace_here.circuit.ablation_bits)
    torch.testing.assert_close(*bits, rtol=1e-4, atol=1e-5, equal_nan=True)
    graph = trace_far.graph
    edge = graph.adjacency[graph.logit_nodes.start].nonzero()[0]
    cs.explain_edge(far, graph, int(edge), graph.logit_nodes.start)
    cs.explain_attention(far, graph, (1, 0), 5, 2)


@pytest.mark.parametrize("mode", ["direct", "constrained", "iterative"])
def test_interventions_are_the_same_and_in_the_hosts_memory(pair, mode):
    here, far = pair
    graph = cs.attribute(here, PROMPT)
    changes = cs.change_nodes(graph, [0, graph.index_of_error(1, 4), graph.index_of_token(3)])
    expected, found = (cs.intervene(one, PROMPT, changes, mode=mode) for one in pair)
    assert host_tensors(found) == {"cpu"}
    torch.testing.assert_close(found.logits_after, expected.logits_after)
    many = cs.intervene_many(far, PROMPT, [changes, changes[:1]], mode=mode)
    assert host_tensors(many) == {"cpu"}
    torch.testing.assert_close(
        many.logits_after[0], expected.logits_after[-1], rtol=1e-4, atol=1e-4
    )
    experiments = [
        run_experiment(graph, cs.run_prompt(one, PROMPT), [Handle((0,), "ablate")], mode)
        for one in pair
    ]
    torch.testing.assert_close(*(one.losses_measured for one in experiments))
    said = [cs.continue_prompt(one, PROMPT, changes, n_tokens=2, mode=mode) for one in pair]
    assert said[0].token_ids == said[1].token_ids
    assert said[0].probabilities == pytest.approx(said[1].probabilities, rel=1e-4)


def test_a_device_without_double_precision_traces_as_well(pair, monkeypatch):
    def new(cls, inner, device):
        if inner.dtype == torch.float64:
            raise TypeError("this device has no float64")
        return made(cls, inner, device)

    made = Elsewhere.__new__
    monkeypatch.setattr(Elsewhere, "__new__", staticmethod(new))
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", (NAME,))
    traces = [cs.trace(one, "The N") for one in pair]
    bits = (found.circuit.ablation_bits for found in traces)
    torch.testing.assert_close(*bits, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_patching_and_slopes_are_the_same(pair):
    here, _ = pair
    graph = cs.attribute(here, PROMPT, answer="av")
    expected, found = (cs.verify_by_patching(one, graph, "The Army (A") for one in pair)
    assert found.patched == pytest.approx(expected.patched, rel=1e-4)
    plain = cs.attribute(here, PROMPT)
    slopes = [cs.predict_alone(one, plain) for one in pair]
    assert slopes[1].device.type == "cpu"
    torch.testing.assert_close(*slopes)


def test_cards_and_weights_over_a_corpus_are_the_same(pair):
    texts = ["The Navy (NAVY) and all that"] * 9
    cards = [list(cs.collect_cards(one, texts))[-1] for one in pair]
    assert all(isinstance(one, FeatureCards) for one in cards)
    for one, other in zip(*cards, strict=True):
        assert (one.label, one.frequency, one.top_tokens) == (
            other.label,
            other.frequency,
            other.top_tokens,
        )
        assert one.max_activation == pytest.approx(other.max_activation, rel=1e-4)
    windows = torch.randint(0, 257, (4, 16), device="cpu")
    tables = [list(cs.measure_global_weights(one, windows))[-1].table for one in pair]
    assert tables[0].num_rows == tables[1].num_rows > 0


def test_exams_and_evals_are_the_same():
    with another_device() as there:
        compare_evals(*both(tiny_replacement(), there))


def compare_evals(*pair):
    questions = cs.exam("acronyms", 1)
    marks = [cs.take_exam(one.model, one.tokenizer, questions) for one in pair]
    assert marks[0] == marks[1]
    parts = [cs.measure_localization(one, questions) for one in pair]
    assert vars(parts[0]) == pytest.approx(vars(parts[1]), rel=1e-4)
    figures = []
    for one in pair:
        traced = trace(one, shuffle_decoders(one, 0), "The N")
        generator = torch.Generator().manual_seed(0)
        found = measure_nodes(traced)
        found |= measure_states(traced, 4, generator) | measure_flips(traced, generator)
        figures.append(found)
    assert figures[0] == pytest.approx(figures[1], rel=1e-3, abs=1e-3, nan_ok=True)


def test_metrics_and_losses_are_the_same(pair):
    windows = torch.randint(0, 257, (4, 17), device="cpu")
    metrics = []
    for one in pair:
        there = windows.to(one.compute.device)
        metrics.append(list(measure_replacement(one.model, one.transcoder, there))[-1].to_json())
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-4)
    losses = [measure_loss(one.model, windows) for one in pair]
    assert losses[0] == pytest.approx(losses[1])
    assert next_token_loss(pair[1].model, windows.to(pair[1].compute.device)).device.type == NAME


def test_a_bundle_is_loaded_onto_a_device_and_moved(there):
    bundle = cs.load_bundle("models/demo", device="cpu")
    moved = bundle.to(there)
    assert (bundle.device.type, moved.device) == ("cpu", there)
    loaded = cs.load_bundle("models/demo", device=there)
    graphs = [cs.attribute(one, "The Army (A") for one in (bundle, moved, loaded, moved.to("cpu"))]
    largest = graphs[0].adjacency.abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
    for graph in graphs[1:]:
        assert ((graph.adjacency - graphs[0].adjacency).abs() / largest).max() < 1e-4


def test_parts_are_put_together_where_the_model_is(there):
    bundle = cs.load_bundle("models/demo", device="cpu")
    far = bundle.to(there)
    assert cs.make_bundle(far.model, bundle.transcoder).transcoder.b_dec.device == there


def test_a_transcoder_that_does_not_fit_is_refused_with_the_numbers(there, monkeypatch):
    monkeypatch.setattr(devices, "free_bytes", lambda _=None: 1000)
    bundle = cs.load_bundle("models/demo", device="cpu")
    with pytest.raises(cs.DeviceError, match=r"needs .* of memory of xla:0; 1\.0 kB are free\. Cl"):
        bundle.to(there)


@pytest.fixture
def fused_anywhere(monkeypatch):
    """Let PyTorch's Adam take the other device for one that it has a kernel for."""
    names = ("torch.optim.adam", "torch.optim.optimizer", "torch.utils._foreach_utils")
    for module in map(importlib.import_module, names):
        if hasattr(module, "_get_fused_kernels_supported_devices"):
            monkeypatch.setattr(
                module, "_get_fused_kernels_supported_devices", lambda: ["cpu", "cuda", NAME]
            )


@pytest.mark.usefixtures("fused_anywhere")
@pytest.mark.parametrize("causal_weight", [0.0, 0.25])
def test_a_transcoder_trained_elsewhere_is_the_same(tmp_path, causal_weight):
    here = tiny_replacement(transcoder={"d_transcoder": 16})
    tokens = torch.randint(0, 257, (400,), device="cpu").numpy()
    with another_device() as there:
        trained = [
            train_three_steps(one, tokens, causal_weight, tmp_path / f"{number}.safetensors")
            for number, one in enumerate(both(here, there))
        ]
    for name, weight in trained[0].items():
        torch.testing.assert_close(trained[1][name].cpu(), weight, rtol=1e-4, atol=1e-5)


def train_three_steps(replacement, tokens, causal_weight, checkpoint):
    """Train a replacement model's transcoder, and return its weights."""
    trainer = TranscoderTrainer(
        model=replacement.model,
        transcoder=module_on(replacement.transcoder, replacement.compute.device).requires_grad_(
            requires_grad=True
        ),
        train=TokenWindows.of(tokens, 256, 16),
        settings=cs.TranscoderTraining(
            n_tokens=192, batch_size=64, buffer_sequences=8, causal_weight=causal_weight
        ),
        seed=0,
        pace=Pace(event_steps=1, checkpoint_seconds=float("inf")),
        checkpoint=CheckpointFile(checkpoint),
    )
    for _ in trainer.events():
        pass
    return {name: weight.detach() for name, weight in trainer.folded().named_parameters()}
