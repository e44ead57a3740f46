"""Every layout loads to what its files say, and is traced exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import circuitscope_core as cs
from tests.formats import layouts
from tests.formats.layouts import N_LAYERS, weights_of
from tests.samples import PROMPT, tiny_model

REFERENCES = Path(__file__).parent / "references"
JUMP, RELU = ("threshold",), ()
LAYOUTS = {  # what writes it, its points, the weights that it has
    "per layer": (layouts.per_layer, ("in", "added"), "relu", True),
    "top-k": (layouts.topk, ("in", "added"), "topk", True),
    "Gemma Scope": (layouts.gemma_scope_1, ("unit", "added"), "jump", False),
    "Gemma Scope 2": (layouts.gemma_scope_2, ("in", "added"), "jump", True),
    "Gemma Scope 2, cross-layer": (
        layouts.gemma_scope_2_cross_layer,
        ("in", "added"),
        "jump",
        True,
    ),
    "SAELens": (layouts.sae_lens, ("in", "added"), "jump", True),
    "sparsify": (layouts.sparsify, ("in", "raw"), "topk_relu", True),
    "list of files": (layouts.index, ("in", "added"), "jump", True),
}
KINDS = pytest.mark.parametrize("name", LAYOUTS)


def acts_by_hand(kind, pre, threshold, k):
    if kind == "jump":
        return torch.where(pre > threshold, pre, torch.zeros_like(pre))
    if kind == "relu":
        return pre.relu()
    pre = pre.relu() if kind == "topk_relu" else pre
    least = pre.topk(k).values[..., -1:]
    return torch.where(pre >= least, pre, torch.zeros_like(pre))


def outputs_by_hand(kind, has_skip, x, cross_layer, k):
    """MLP outputs from the weights by our names, with no code of the transcoder's."""
    out = torch.zeros_like(x)
    for layer in range(N_LAYERS):
        own = weights_of(layer, N_LAYERS if cross_layer else None)
        pre = x[layer] @ own["W_enc"].T + own["b_enc"]
        acts = acts_by_hand(kind, pre, own["threshold"], k)
        out[layer] += own["b_dec"] + (x[layer] @ own["W_skip"] if has_skip else 0)
        for step in range(layer, N_LAYERS if cross_layer else layer + 1):
            decoders = own["W_dec"][:, step] if cross_layer else own["W_dec"]
            out[step] += acts @ decoders
    return out


@KINDS
@pytest.mark.parametrize("lazy", [False, True])
def test_a_layout_loads_to_what_its_weights_say(tmp_path, name, lazy):
    write, points, kind, has_skip = LAYOUTS[name]
    write(tmp_path)
    transcoder = cs.load_transcoder(tmp_path, lazy_decoders=lazy)
    config = transcoder.config
    assert (config.read_point, config.write_point) == points
    assert config.skip_connection == has_skip
    assert config.cross_layer == (name == "Gemma Scope 2, cross-layer")
    x = torch.randn(N_LAYERS, 5, 8)
    acts = torch.stack([transcoder.encode(layer, rows) for layer, rows in enumerate(x)])
    expected = outputs_by_hand(kind, has_skip, x, config.cross_layer, config.k)
    torch.testing.assert_close(transcoder.decode(acts, x), expected)
    active = [transcoder.active(layer, rows) for layer, rows in enumerate(x)]
    for dense, found in zip(acts, active, strict=True):
        assert torch.equal(dense[found.tokens, found.features], found.values)
        assert len(found.values) == dense.count_nonzero()


@KINDS
def test_rows_of_a_graph_add_up_and_columns_are_interventions(tmp_path, name):
    LAYOUTS[name][0](tmp_path)
    replacement = cs.ReplacementModel(
        tiny_model(), cs.load_transcoder(tmp_path), cs.ByteTokenizer()
    )
    graph = cs.attribute(replacement, PROMPT)
    assert graph.n_features > 20
    got, targets = graph.adjacency.sum(1) + graph.bias, graph.target_nodes
    torch.testing.assert_close(got[targets], graph.pre_activations[targets], rtol=1e-4, atol=2e-5)
    layers, positions, numbers = graph.features.T
    for node in range(0, graph.n_features, 7):
        changes = cs.change_nodes(graph, [node])
        result = cs.intervene(replacement, PROMPT, changes, mode="direct")
        lost = result.pre_activations_before - result.pre_activations_after
        column = graph.adjacency[: graph.n_features, node]
        moved = lost[layers, positions, numbers]
        torch.testing.assert_close(moved, column, rtol=1e-4, atol=5e-5)


@KINDS
def test_a_layout_survives_being_saved_in_ours(tmp_path, name):
    LAYOUTS[name][0](tmp_path / "theirs")
    theirs = cs.load_transcoder(tmp_path / "theirs")
    cs.save_transcoder(theirs, tmp_path / "ours")
    ours = cs.load_transcoder(tmp_path / "ours")
    assert ours.config == theirs.config
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value)


@pytest.mark.parametrize("name", sorted(path.name for path in REFERENCES.iterdir()))
def test_a_transcoder_does_what_its_own_package_says(name):
    reference = load_file(REFERENCES / name / "reference.safetensors")
    inputs = reference["inputs"]
    for lazy in (False, True):
        transcoder = cs.load_transcoder(REFERENCES / name / "transcoder", lazy_decoders=lazy)
        acts = torch.stack([transcoder.encode(layer, x) for layer, x in enumerate(inputs)])
        torch.testing.assert_close(transcoder.decode(acts, inputs), reference["outputs"])


def test_the_last_layer_of_a_cross_layer_set_is_not_lost(tmp_path):
    layouts.gemma_scope_2_cross_layer(tmp_path)
    transcoder = cs.load_transcoder(tmp_path)
    assert transcoder.config.n_layers == N_LAYERS
    assert [decoders.shape[1] for decoders in transcoder.W_dec] == [2, 1]
    last = weights_of(N_LAYERS - 1, N_LAYERS)["W_dec"]
    assert torch.equal(transcoder.W_dec[1][:, 0], last[:, 1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_decoders_that_stay_on_disk_keep_the_files_precision_until_used(tmp_path, dtype):
    layouts.sparsify(tmp_path)
    for path in tmp_path.glob("*/sae.safetensors"):
        save_file({name: value.to(dtype) for name, value in load_file(path).items()}, path)
    lazy = cs.load_transcoder(tmp_path, lazy_decoders=True)
    rows = lazy.decoder_rows(1, torch.tensor([3, 0]))
    assert rows.dtype == torch.float32
    assert torch.equal(rows[:, 0], weights_of(1)["W_dec"][[3, 0]].to(dtype).float())


def test_a_compressed_archive_cannot_leave_its_decoders_on_disk(tmp_path):
    layouts.gemma_scope_1(tmp_path)
    for path in tmp_path.glob("layer_*/**/params.npz"):
        with np.load(path) as file:
            np.savez_compressed(path, **file)
    assert cs.load_transcoder(tmp_path).config.n_layers == N_LAYERS
    with pytest.raises(cs.BundleError, match=r"compressed.*without lazy_decoders"):
        cs.load_transcoder(tmp_path, lazy_decoders=True)


def test_what_is_encoded_less_b_dec_is_folded_into_the_bias(tmp_path):
    layouts.sae_lens(tmp_path, {"apply_b_dec_to_input": True})
    transcoder, own = cs.load_transcoder(tmp_path), weights_of(1)
    x = torch.randn(3, 8)
    expected = (x - own["b_dec"]) @ own["W_enc"].T + own["b_enc"]
    torch.testing.assert_close(transcoder.pre_activations(1, x), expected)


def test_a_skip_in_some_layers_only_is_taken_where_it_is(tmp_path):
    layouts.per_layer(tmp_path)
    path = tmp_path / "layer_0.safetensors"
    save_file({n: value for n, value in load_file(path).items() if n != "W_skip"}, path)
    transcoder, x = cs.load_transcoder(tmp_path), torch.randn(3, 8)
    assert transcoder.skip(0, x).count_nonzero() == 0
    torch.testing.assert_close(transcoder.skip(1, x), x @ weights_of(1)["W_skip"])


def test_hooks_of_older_releases_of_saelens_stand_at_the_top(tmp_path):
    layouts.sae_lens(tmp_path, {"metadata": {}})
    for layer, path in enumerate(sorted(tmp_path.glob("*/cfg.json"))):
        record = layouts.json.loads(path.read_text())
        record |= {
            "hook_name": f"blocks.{layer}.ln2.hook_normalized",
            "hook_name_out": f"blocks.{layer}.hook_mlp_out",
            "model_name": "gpt2-small",
        }
        layouts.write_json(record, path)
    assert cs.load_transcoder(tmp_path).config.read_point == "in"


@pytest.mark.parametrize(
    ("settings", "read", "write"),
    [
        ({"feature_input_hook": "hook_resid_mid"}, "mid", "added"),
        ({"feature_input_hook": "hook_resid_pre"}, "pre", "added"),
        ({"feature_input_hook": "hook_mlp_in"}, "mid", "added"),
        ({"feature_input_hook": "blocks.{layer}.hook_resid_pre"}, "pre", "added"),
        ({"feature_output_hook": "mlp.hook_out"}, "in", "raw"),
        ({"feature_input_hook": "ln2.hook_normalized"}, "in", "added"),
        ({"feature_input_hook": "ln2.hook_normalized", "model_name": "gpt2"}, "in", "added"),
        (
            {"feature_input_hook": "ln2.hook_normalized", "model_name": "google/gemma-2-2b"},
            "unit",
            "added",
        ),
        ({"feature_output_hook": "mlp.hook_out", "model_name": "circuitscope"}, "in", "added"),
        (
            {"feature_input_hook": "ln2.hook_normalized", "model_name": "circuitscope"},
            "in",
            "added",
        ),
        ({"read_point": "unit", "write_point": "raw"}, "unit", "raw"),
    ],
)
def test_foreign_names_of_points_become_ours(tmp_path, settings, read, write):
    layouts.per_layer(tmp_path, settings)
    config = cs.load_transcoder(tmp_path).config
    assert (config.read_point, config.write_point) == (read, write)
    named = cs.load_transcoder(tmp_path, read_point="pre", write_point="added").config
    assert (named.read_point, named.write_point) == ("pre", "added")


@pytest.mark.parametrize("read_point", ["mid", "unit", "in", "pre"])
@pytest.mark.parametrize("write_point", ["added", "raw"])
def test_a_saved_folder_names_its_points_in_our_words_and_in_hooks(
    tmp_path, read_point, write_point
):
    layouts.per_layer(tmp_path / "theirs")
    points = {"read_point": read_point, "write_point": write_point}
    cs.save_transcoder(cs.load_transcoder(tmp_path / "theirs", **points), tmp_path / "ours")
    text = (tmp_path / "ours" / "config.yaml").read_text()
    assert f"read_point: {read_point}" in text
    assert "feature_input_hook: " in text
    config = cs.load_transcoder(tmp_path / "ours").config
    assert (config.read_point, config.write_point) == (read_point, write_point)
