"""Small transcoders in published layouts, with their own names of files and weights."""

import json

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

D_MODEL, D_TRANSCODER, N_LAYERS = 8, 12, 2


def draw(layer, *shape, salt=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(10 * salt + layer)) * 0.5


def weights_of(layer, n_writes=None):
    """Return one layer's weights by our names, shapes as ours; ``W_skip`` is ``x @ W_skip``."""
    writes = (D_TRANSCODER, D_MODEL) if n_writes is None else (D_TRANSCODER, n_writes, D_MODEL)
    return {
        "W_enc": draw(layer, D_TRANSCODER, D_MODEL, salt=1),
        "b_enc": draw(layer, D_TRANSCODER, salt=2),
        "b_dec": draw(layer, D_MODEL, salt=3),
        "W_dec": draw(layer, *writes, salt=4),
        "threshold": draw(layer, D_TRANSCODER, salt=5).abs(),
        "W_skip": draw(layer, D_MODEL, D_MODEL, salt=6),
    }


def save(tensors, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)


def write_json(settings, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))


def write_yaml(settings, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))


def per_layer(folder, settings=None, more=None):
    """circuit-tracer's per-layer set: ``W_skip`` is applied as ``x @ W_skip.T``."""
    for layer in range(N_LAYERS):
        own = weights_of(layer)
        names = ("W_enc", "b_enc", "b_dec", "W_dec")
        tensors = {name: own[name] for name in names} | {"W_skip": own["W_skip"].T}
        save(tensors | (more or {}), folder / f"layer_{layer}.safetensors")
    hooks = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
    write_yaml(
        {"model_kind": "transcoder_set", **hooks, **(settings or {})}, folder / "config.yaml"
    )


def topk(folder):
    per_layer(folder, {"activation": "topk", "k": 3})


def gemma_scope_1(folder, more=None):
    for layer in range(N_LAYERS):
        own = weights_of(layer)
        path = folder / f"layer_{layer}" / "width_16k" / f"average_l0_{50 + layer}" / "params.npz"
        path.parent.mkdir(parents=True)
        tensors = {"W_enc": own["W_enc"].T} | {
            name: own[name] for name in ("W_dec", "b_enc", "b_dec", "threshold")
        }
        np.savez(path, **{name: value.numpy() for name, value in tensors.items()}, **(more or {}))


GEMMA_SETTINGS = {
    "hf_hook_point_in": "model.layers.{}.pre_feedforward_layernorm.output",
    "hf_hook_point_out": "model.layers.{}.post_feedforward_layernorm.output",
    "architecture": "jump_relu",
    "affine_connection": True,
    "model_name": "google/gemma-3-1b-pt",
    "width": D_TRANSCODER,
    "l0": 3,
    "type": "transcoder",
}


def gemma_scope_2(folder, settings=None, more=None):
    for layer in range(N_LAYERS):
        path = folder / f"layer_{layer}_width_16k_l0_small_affine" / "params.safetensors"
        save(small_letters(weights_of(layer)) | (more or {}), path)
        own = {**GEMMA_SETTINGS, **(settings or {})}
        for name in ("hf_hook_point_in", "hf_hook_point_out"):
            own[name] = own[name].format(layer)
        write_json(own, path.with_name("config.json"))


def small_letters(own):
    return {
        "w_enc": own["W_enc"].T,
        "w_dec": own["W_dec"],
        "b_enc": own["b_enc"],
        "b_dec": own["b_dec"],
        "threshold": own["threshold"],
        "affine_skip_connection": own["W_skip"],
    }


def gemma_scope_2_cross_layer(folder):
    for layer in range(N_LAYERS):
        tensors = small_letters(weights_of(layer, n_writes=N_LAYERS))
        save(tensors, folder / f"params_layer_{layer}.safetensors")


SAE_LENS_SETTINGS = {
    "architecture": "jumprelu_skip_transcoder",
    "d_in": D_MODEL,
    "d_out": D_MODEL,
    "d_sae": D_TRANSCODER,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": False,
    "normalize_activations": "none",
    "reshape_activations": "none",
}


def sae_lens(folder, settings=None, more=None, hooks=None):
    hooks = hooks or ("blocks.{}.mlp.hook_in", "blocks.{}.hook_mlp_out")
    for layer in range(N_LAYERS):
        own = weights_of(layer)
        tensors = {"W_enc": own["W_enc"].T, "W_skip": own["W_skip"].T} | {
            name: own[name] for name in ("W_dec", "b_enc", "b_dec", "threshold")
        }
        names = dict(zip(("hook_name", "hook_name_out"), hooks, strict=True))
        metadata = {name: hook.format(layer) for name, hook in names.items()}
        place = folder / f"blocks.{layer}"
        save(tensors | (more or {}), place / "sae_weights.safetensors")
        record = {**SAE_LENS_SETTINGS, "metadata": metadata, **(settings or {})}
        write_json(record, place / "cfg.json")


SPARSIFY_SETTINGS = {
    "activation": "topk",
    "expansion_factor": 32,
    "normalize_decoder": True,
    "num_latents": D_TRANSCODER,
    "k": 4,
    "multi_topk": False,
    "skip_connection": True,
    "transcode": True,
    "d_in": D_MODEL,
}


def sparsify(folder, settings=None, more=None, module="layers.{}.mlp"):
    for layer in range(N_LAYERS):
        own = weights_of(layer)
        tensors = {
            "encoder.weight": own["W_enc"],
            "encoder.bias": own["b_enc"],
            "W_dec": own["W_dec"],
            "b_dec": own["b_dec"],
            "W_skip": own["W_skip"].T,
        }
        place = folder / module.format(layer)
        save(tensors | (more or {}), place / "sae.safetensors")
        write_json({**SPARSIFY_SETTINGS, **(settings or {})}, place / "cfg.json")


def index(folder):
    """A list of another folder's files, one for each layer."""
    gemma_scope_2(folder / "weights")
    files = [
        f"weights/layer_{layer}_width_16k_l0_small_affine/params.safetensors"
        for layer in range(N_LAYERS)
    ]
    hooks = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
    settings = {"model_kind": "transcoder_set", "model_name": "google/gemma-3-1b-pt"}
    write_yaml({**settings, **hooks, "transcoders": files}, folder / "config.yaml")
