"""Traced prompts, and a model that is its own transcoder, for the faithfulness tests."""

import torch

import circuitscope_core as cs
from circuitscope_core.evals.faithfulness.traced import shuffle_decoders, trace
from circuitscope_core.transcoder import CrossLayerTranscoder
from tests.samples import PROMPT, tiny_model

KINDS = (
    {},
    {"transcoder": {"cross_layer": False}},
    {"transcoder": {"skip_connection": True}},
    {"transcoder": {"read_point": "mid"}},
    {"transcoder": {"read_point": "unit"}},
    {"transcoder": {"read_point": "pre"}},
    {"model": {"normalization": None}},
)


def traced(replacement, prompt=PROMPT):
    return trace(replacement, shuffle_decoders(replacement, 1), prompt)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def oracle_replacement(seed=0, n_layers=3, **model):
    """A model of ReLU MLPs whose transcoder is those MLPs: one feature for each neuron."""
    model = tiny_model(
        seed, n_layers=n_layers, d_mlp=16, activation="relu", **{"normalization": None, **model}
    )
    config = cs.TranscoderConfig(
        n_layers=n_layers, d_model=8, d_transcoder=16, cross_layer=False, read_point="in"
    )
    transcoder = CrossLayerTranscoder(config).requires_grad_(False)
    transcoder.log_threshold.fill_(-1e3)
    for layer in range(n_layers):
        mlp = model.block(layer).mlp
        transcoder.W_enc[layer], transcoder.b_enc[layer] = mlp.W_in.T, mlp.b_in
        transcoder.W_dec[layer][:, 0] = mlp.W_out
        transcoder.b_dec[layer] = mlp.b_out
    return cs.ReplacementModel(model, transcoder, cs.ByteTokenizer())
