"""Make ``references/``: small transcoders in published formats, and what the formats' packages do.

Usage, in an environment of its own (its dependencies are not ours):
    pip install sae-lens==6.54.12 eai-sparsify==1.3.3 circuit-tracer==0.5.0
    python tests/formats/make_references.py [FOLDER]

SAELens and sparsify write their own files. Nobody publishes what wrote Gemma Scope's, so these are
written here and read with circuit-tracer's own loaders; so are those of its top-k.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from circuit_tracer.transcoder.activation_functions import TopK
from circuit_tracer.transcoder.single_layer_transcoder import (
    SingleLayerTranscoder,
    load_gemma_scope_2_transcoder,
    load_gemma_scope_transcoder,
)
from sae_lens.registry import get_sae_class
from safetensors.torch import save_file
from sparsify import SparseCoder
from sparsify.config import SparseCoderConfig

N_LAYERS, D_MODEL, D_TRANSCODER, N_TOKENS = 2, 8, 12, 6


def draw(generator, *shape):
    return torch.randn(shape, generator=generator) * 0.4


def fill(module, generator):
    """Give every weight a random value; thresholds are of both signs."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(draw(generator, *weight.shape))
    return module


def make_sae_lens(architecture, folder, layer, generator):
    sae_class, config_class = get_sae_class(architecture)
    config = config_class(
        d_in=D_MODEL, d_sae=D_TRANSCODER, d_out=D_MODEL, apply_b_dec_to_input=False
    )
    config.metadata.hook_name = f"blocks.{layer}.ln2.hook_normalized"
    config.metadata.hook_name_out = f"blocks.{layer}.hook_mlp_out"
    config.metadata.model_name = "gemma-2-2b"
    coder = fill(sae_class(config), generator)
    coder.save_model(folder / f"layer_{layer}")
    return coder


def make_sparsify(folder, layer, generator):
    config = SparseCoderConfig(num_latents=D_TRANSCODER, k=3, skip_connection=True, transcode=True)
    coder = fill(SparseCoder(D_MODEL, config), generator)
    coder.save_to_disk(folder / f"layers.{layer}.mlp")
    return lambda x: coder(x).sae_out


def make_gemma_scope_1(folder, layer, generator):
    path = folder / f"layer_{layer}" / "width_16k" / f"average_l0_{7 + layer}" / "params.npz"
    path.parent.mkdir(parents=True)
    np.savez(
        path,
        W_enc=draw(generator, D_MODEL, D_TRANSCODER).numpy(),
        W_dec=draw(generator, D_TRANSCODER, D_MODEL).numpy(),
        b_enc=draw(generator, D_TRANSCODER).numpy(),
        b_dec=draw(generator, D_MODEL).numpy(),
        threshold=draw(generator, D_TRANSCODER).abs().numpy(),
    )
    return read_by_circuit_tracer(load_gemma_scope_transcoder, path, layer)


def make_gemma_scope_2(folder, layer, generator):
    path = folder / f"layer_{layer}_width_16k_l0_small_affine" / "params.safetensors"
    path.parent.mkdir(parents=True)
    tensors = {
        "w_enc": draw(generator, D_MODEL, D_TRANSCODER),
        "w_dec": draw(generator, D_TRANSCODER, D_MODEL),
        "b_enc": draw(generator, D_TRANSCODER),
        "b_dec": draw(generator, D_MODEL),
        "threshold": draw(generator, D_TRANSCODER).abs(),
        "affine_skip_connection": draw(generator, D_MODEL, D_MODEL),
    }
    save_file(tensors, path)
    settings = {
        "hf_hook_point_in": f"model.layers.{layer}.pre_feedforward_layernorm.output",
        "hf_hook_point_out": f"model.layers.{layer}.post_feedforward_layernorm.output",
        "width": D_TRANSCODER,
        "model_name": "google/gemma-3-1b-pt",
        "architecture": "jump_relu",
        "l0": 7,
        "affine_connection": True,
        "type": "transcoder",
    }
    path.with_name("config.json").write_text(json.dumps(settings))
    return read_by_circuit_tracer(load_gemma_scope_2_transcoder, path, layer)


def make_topk(folder, layer, generator):
    coder = SingleLayerTranscoder(
        D_MODEL,
        D_TRANSCODER,
        TopK(3),
        layer,
        skip_connection=True,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    fill(coder, generator).to_safetensors(str(folder / f"layer_{layer}.safetensors"))
    settings = {
        "model_kind": "transcoder_set",
        "model_name": "meta-llama/Llama-3.1-8B-Instruct",
        "feature_input_hook": "mlp.hook_in",
        "feature_output_hook": "mlp.hook_out",
        "activation": "topk",
        "k": 3,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return lambda x: coder.decode(coder.encode(x), x)


def read_by_circuit_tracer(load, path, layer):
    coder = load(str(path), layer, device=torch.device("cpu"))
    return lambda x: coder.decode(coder.encode(x), x)


KINDS = {
    "gemma_scope_1": make_gemma_scope_1,
    "gemma_scope_2": make_gemma_scope_2,
    "sparsify": make_sparsify,
    "topk": make_topk,
}
for name in ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"):
    KINDS[f"sae_lens_{name}"] = lambda *rest, name=name: make_sae_lens(name, *rest)


@torch.no_grad()
def make(name, target):
    generator = torch.Generator().manual_seed(sorted(KINDS).index(name))
    folder = target / name / "transcoder"
    folder.mkdir(parents=True, exist_ok=True)
    inputs = torch.randn(N_LAYERS, N_TOKENS, D_MODEL, generator=generator)
    coders = [KINDS[name](folder, layer, generator) for layer in range(N_LAYERS)]
    outputs = torch.stack([coder(x) for coder, x in zip(coders, inputs, strict=True)])
    save_file({"inputs": inputs, "outputs": outputs}, target / name / "reference.safetensors")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "references"
    for name in KINDS:
        make(name, target)
