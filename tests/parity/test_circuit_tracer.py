"""Our graphs against circuit-tracer's, for the same weights.

``references/`` holds graphs that ``make_references.py`` made with circuit-tracer 0.5.0. Where
CIRCUIT_TRACER_PYTHON names the Python of an environment that has it, they are made again and
compared as well, and circuit-tracer reads a transcoder of ours.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import circuitscope_core as cs
from tests.samples import tiny_transcoder

REFERENCES = Path(__file__).parent / "references"
KINDS = sorted(path.name for path in REFERENCES.iterdir())
PROMPT = [256, *b"The Navy (N"]
THEIR_PYTHON = os.environ.get("CIRCUIT_TRACER_PYTHON", "")
needs_circuit_tracer = pytest.mark.skipif(
    not THEIR_PYTHON, reason="CIRCUIT_TRACER_PYTHON names no Python that has circuit-tracer"
)


def load_replacement(folder, kind, tensors):
    weights = {
        name.removeprefix("model."): value
        for name, value in tensors.items()
        if name.startswith("model.")
    }
    n_heads, d_model, d_head = weights["blocks.0.attn.W_Q"].shape
    config = cs.ModelConfig(
        n_layers=1 + max(int(name.split(".")[1]) for name in weights if "blocks." in name),
        d_model=d_model,
        n_heads=n_heads,
        d_head=d_head,
        d_mlp=weights["blocks.0.mlp.W_in"].shape[1],
        n_ctx=len(weights["pos_embed.W_pos"]),
        d_vocab=len(weights["embed.W_E"]),
        activation=kind["activation"],
        positions="learned",
        tied_embeddings=kind["tied"],
        causal=kind["causal"],
    )
    transcoder = cs.load_transcoder(folder / "transcoder")
    if "W_skip" in tensors:  # their folder for cross-layer transcoders has no place for it
        with_skip = cs.TranscoderConfig(**{**transcoder.config.to_json(), "skip_connection": True})
        loaded = cs.CrossLayerTranscoder(with_skip)
        loaded.load_state_dict({**transcoder.state_dict(), "W_skip": tensors["W_skip"]})
        transcoder = loaded
    model = cs.Transformer.from_transformer_lens(weights, config)
    return cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())


def assert_same_as_theirs(folder):
    kind = json.loads((folder / "kind.json").read_text())
    theirs = load_file(folder / "reference.safetensors")
    replacement = load_replacement(folder, kind, theirs)
    assert replacement.transcoder.config.skip_connection == kind["skip"]
    assert replacement.transcoder.config.cross_layer == kind["cross_layer"]
    graph = cs.attribute(replacement, PROMPT, max_feature_nodes=kind["max_feature_nodes"])
    assert torch.equal(graph.logit_token_ids, theirs["logit_token_ids"])
    torch.testing.assert_close(graph.logit_probabilities, theirs["logit_probabilities"])
    if kind["max_feature_nodes"] is None:
        assert torch.equal(graph.features, theirs["features"])
        torch.testing.assert_close(graph.activations, theirs["activations"], rtol=1e-4, atol=1e-5)
        assert_same_edges(graph.adjacency, theirs["adjacency"])
        pruned = cs.prune_graph(graph, score="influence")
        assert torch.equal(pruned.node_mask, theirs["node_mask"])
        assert torch.equal(pruned.edge_mask, theirs["edge_mask"] & (graph.adjacency != 0))
        scores = cs.graph_scores(graph)
        ours = [scores.replacement, scores.completeness_circuit_tracer]
        assert ours == pytest.approx(theirs["scores"].tolist(), abs=1e-6)
    else:  # which features a budget keeps is a heuristic; the edges among them are not
        assert graph.n_features == len(theirs["features"])
        both = [row for row in graph.features.tolist() if row in theirs["features"].tolist()]
        assert len(both) > graph.n_features / 2
        nodes = [graph.index_of_feature(*row) for row in both]
        at = [theirs["features"].tolist().index(row) for row in both]
        ours, reference = graph.adjacency[nodes][:, nodes], theirs["adjacency"][at][:, at]
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-5)


def assert_same_edges(ours, theirs):
    allowed = 1e-4 * theirs.abs() + 1e-5 * theirs.abs().amax(dim=1, keepdim=True)
    assert ((ours - theirs).abs() <= allowed).all()


@pytest.mark.parametrize("name", KINDS)
def test_features_edges_masks_and_scores_are_circuit_tracers(name):
    assert_same_as_theirs(REFERENCES / name)


@needs_circuit_tracer
def test_the_references_can_be_made_again(tmp_path):
    script = Path(__file__).parent / "make_references.py"
    subprocess.run([THEIR_PYTHON, script, tmp_path], check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == KINDS
    for name in KINDS:
        assert_same_as_theirs(tmp_path / name)


READ_OURS = """
import sys, torch
from circuit_tracer.transcoder.cross_layer_transcoder import load_clt
from circuit_tracer.transcoder.single_layer_transcoder import load_relu_transcoder
folder, per_layer = sys.argv[1], sys.argv[2] == "per layer"
x = torch.linspace(-2, 2, 8)
cpu = torch.device("cpu")
if per_layer:
    layers = [load_relu_transcoder(f"{folder}/layer_{n}.safetensors", n, cpu) for n in range(2)]
    print([layer(x).tolist() for layer in layers])
else:
    clt = load_clt(folder, device=cpu, dtype=torch.float32)
    print(clt(x.expand(2, 1, 8))[:, 0].tolist())
"""


@needs_circuit_tracer
@pytest.mark.parametrize("cross_layer", [True, False])
def test_circuit_tracer_reads_our_folders(tmp_path, cross_layer):
    transcoder = tiny_transcoder(cross_layer=cross_layer, skip_connection=not cross_layer)
    cs.save_transcoder(transcoder, tmp_path)
    kind = "cross layer" if cross_layer else "per layer"
    done = subprocess.run(
        [THEIR_PYTHON, "-c", READ_OURS, tmp_path, kind], check=True, capture_output=True, text=True
    )
    x = torch.linspace(-2, 2, 8).expand(2, 1, 8)
    acts = torch.stack([transcoder.encode(layer, x[layer]) for layer in range(2)])
    theirs = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    torch.testing.assert_close(transcoder.decode(acts, x)[:, 0], theirs, rtol=1e-4, atol=1e-5)
