"""Hugging Face models on a device that is not the CPU, and with layers on two of them."""

import copy

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core import devices
from circuitscope_core.devices import module_on
from tests.other_device import NAME, another_device
from tests.pretrained_families import random_module, with_mask
from tests.samples import tiny_transcoder

pytestmark = pytest.mark.filterwarnings("ignore:at..frobenius_norm is deprecated")


@pytest.fixture
def there(monkeypatch):
    found = torch.device(NAME, 0)
    monkeypatch.setattr(devices, "_own_device", lambda: found)
    with another_device():
        yield found


def graph_of(module):
    """Return a model's graph of a few tokens, with a tiny transcoder, and its bundle."""
    model = cs.PretrainedModel(module)
    sizes = {"n_layers": model.shape.n_layers, "d_model": model.shape.d_model}
    bundle = cs.make_bundle(model, tiny_transcoder(**sizes, cross_layer=False))
    return cs.attribute(bundle, with_mask(model, list(range(3, 15)))), bundle


def assert_same(found, expected):
    largest = expected.adjacency.abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
    assert found.adjacency.device.type == "cpu"
    assert ((found.adjacency - expected.adjacency).abs() / largest).max() < 1e-4


@pytest.mark.parametrize("name", ["LLaMA-3", "Gemma-2", "Mixtral", "DistilBERT"])
def test_a_model_elsewhere_gives_the_same_graph(there, name):
    module = random_module(name, torch.float32)
    expected, _ = graph_of(copy.deepcopy(module))
    found, bundle = graph_of(module_on(module, there))
    assert bundle.transcoder.b_dec.device == bundle.device == there
    assert_same(found, expected)
    changes = cs.change_nodes(found, [0])
    for mode in ("direct", "constrained", "iterative"):
        cs.intervene_many(bundle, found.token_ids.tolist(), [changes], mode=mode)
    assert_same(cs.attribute(bundle.to("cpu"), found.token_ids.tolist()), expected)
    assert bundle.device == there


@pytest.mark.parametrize("name", ["LLaMA-3", "Gemma-2"])
def test_layers_on_two_devices_give_the_same_graph(there, name):
    module = random_module(name, torch.float32)
    expected, _ = graph_of(copy.deepcopy(module))
    spread = module_on(module, there)
    spread_layers(spread, torch.device(NAME, 1))
    found, bundle = graph_of(spread)
    assert_same(found, expected)
    changes = cs.change_nodes(found, [0])
    for mode in ("direct", "constrained", "iterative"):
        cs.intervene_many(bundle, found.token_ids.tolist(), [changes], mode=mode)
    cs.attribute(cs.make_bundle(bundle.model), found.token_ids.tolist(), max_feature_nodes=30)
    with pytest.raises(cs.DeviceError, match="lies on 2 devices and stays there"):
        bundle.to("cpu")


def spread_layers(module, second):
    """Move the upper layers to a second device, inputs following, as accelerate does."""

    def follow(layer, args, kwargs):
        place = next(layer.parameters()).device
        moved = torch.utils._pytree.tree_map(
            lambda value: value.to(place) if isinstance(value, torch.Tensor) else value,
            (args, kwargs),
        )
        return moved[0], moved[1]

    layers = module.model.layers
    for number in range(1, len(layers)):
        layers[number] = module_on(layers[number], second)
    for layer in layers:
        layer.register_forward_pre_hook(follow, with_kwargs=True)
    module.model.norm.register_forward_pre_hook(follow, with_kwargs=True)


def test_a_device_and_a_map_of_devices_are_not_given_together(tmp_path):
    random_module("LLaMA-3", torch.float32).save_pretrained(tmp_path)
    with pytest.raises(cs.ModelError, match="Give one of the two"):
        cs.load_model(tmp_path, device="cpu", device_map="auto")


def test_a_map_of_devices_opens_the_same_model(tmp_path):
    pytest.importorskip("accelerate")
    random_module("LLaMA-3", torch.float32).save_pretrained(tmp_path)
    plain, spread = cs.load_model(tmp_path), cs.load_model(tmp_path, device_map="cpu")
    ids = plain.tokens(range(3, 12))
    assert torch.equal(plain(ids), spread(ids))


def test_a_model_is_opened_on_a_device_if_it_has_room(there, tmp_path, monkeypatch):
    random_module("LLaMA-3", torch.float32).save_pretrained(tmp_path)
    monkeypatch.setattr(
        devices, "free_bytes", lambda device=None: 1000 if device is not None else 10**12
    )
    with pytest.raises(cs.DeviceError, match=r"parameters needs .* of memory of xla:0"):
        cs.load_model(tmp_path, device=there)
    monkeypatch.setattr(devices, "free_bytes", lambda _=None: 10**12)
    assert cs.load_model(tmp_path, device=there).home.device == there


def test_a_model_in_sixteen_bits_gives_rows_that_add_up():
    graph, _ = graph_of(random_module("LLaMA-3", torch.bfloat16))
    rows = graph.adjacency[: graph.n_features].sum(dim=1) + graph.bias[: graph.n_features]
    torch.testing.assert_close(
        rows, graph.pre_activations[: graph.n_features], rtol=1e-3, atol=1e-3
    )


def test_graphs_of_neurons_are_traced_and_patched_elsewhere(there):
    module = random_module("LLaMA-3", torch.float32)
    config = cs.TraceConfig(cs.AttributionConfig(max_feature_nodes=30))
    carried = []
    for one in (copy.deepcopy(module), module_on(module, there)):
        bundle = cs.make_bundle(cs.PretrainedModel(one))
        found = cs.trace(bundle, list(range(3, 15)), config)
        curve = cs.verify_by_patching(bundle, found, list(range(4, 16)))
        carried.append([*curve.carried, *found.circuit.influence.tolist()])
    assert carried[0] == pytest.approx(carried[1], rel=1e-3, abs=1e-4)
