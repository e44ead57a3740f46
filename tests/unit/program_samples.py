"""A compiled program that was written by hand, and its files."""

import json
from types import SimpleNamespace

import numpy as np

import circuitscope_core as cs

LABELS = ["one", "indices:0", "indices:1", "tokens:a", "tokens:b", "tokens:BOS"]
LABELS += ["is_b", "before", "answer:no", "answer:yes"]
ONE, FIRST, SECOND, A, B, BOS, IS_B, BEFORE, NO, YES = range(10)


def edge(text):
    src, dst, slot = text.split()
    return cs.ComponentEdge(src, dst, slot)


def hand_written():
    """A program by hand: "yes" where the token before is a b.

    Layer 0: the MLP writes ``is_b``. Layer 1: the head copies ``is_b`` from the position before;
    its MLP writes "yes" where that is 1, and "no" from ``one`` less it.
    """
    d_model, n_ctx, d_head, d_mlp = len(LABELS), 4, 3, 2
    weights = {
        "W_E": np.zeros((3, d_model), np.float32),
        "W_pos": np.zeros((n_ctx, d_model), np.float32),
    }
    for layer in range(2):
        for part in ("Wq", "Wk", "Wv"):
            weights[f"l{layer}.attn.{part}"] = np.zeros((d_model, 1, d_head), np.float32)
        weights[f"l{layer}.attn.Wo"] = np.zeros((1, d_head, d_model), np.float32)
        weights[f"l{layer}.mlp.W1"] = np.zeros((d_model, d_mlp), np.float32)
        weights[f"l{layer}.mlp.W2"] = np.zeros((d_mlp, d_model), np.float32)
    weights["W_E"][:, ONE] = 1
    weights["W_E"][[0, 1, 2], [BOS, A, B]] = 1
    weights["W_pos"][[1, 2], [FIRST, SECOND]] = 1
    weights["l0.mlp.W1"][B, 0] = weights["l0.mlp.W2"][0, IS_B] = 1
    weights["l1.attn.Wq"][[SECOND, ONE], 0, [0, 1]] = 100, 50
    weights["l1.attn.Wk"][[FIRST, BOS], 0, [0, 1]] = 1
    weights["l1.attn.Wv"][IS_B, 0, 0] = weights["l1.attn.Wo"][0, 0, BEFORE] = 1
    weights["l1.mlp.W1"][BEFORE, 0] = weights["l1.mlp.W2"][0, YES] = 1
    weights["l1.mlp.W1"][[ONE, BEFORE], 1] = 1, -1
    weights["l1.mlp.W2"][1, NO] = 1
    edges = [
        ("embed", "L0MLP", "mlp_in", "tokens"),
        ("pos_embed", "L1H0", "q", "indices"),
        ("embed", "L1H0", "q", "one"),
        ("pos_embed", "L1H0", "k", "indices"),
        ("embed", "L1H0", "k", "tokens"),
        ("L0MLP", "L1H0", "v", "is_b"),
        ("L1H0", "L1MLP", "mlp_in", "before"),
        ("embed", "L1MLP", "mlp_in", "one"),
        ("L1MLP", "output", "unembed", "answer"),
    ]
    data = {
        "program": "after_b",
        "config": {
            "num_layers": 2,
            "num_heads": 1,
            "key_size": d_head,
            "mlp_hidden": d_mlp,
            "d_model": d_model,
            "causal": True,
            "activation": "relu",
            "layer_norm": False,
            "max_seq_len": n_ctx,
            "bos": "BOS",
        },
        "residual_labels": LABELS,
        "output_dims": [NO, YES],
        "output_values": ["no", "yes"],
        "input_encoding": {"BOS": 0, "a": 1, "b": 2},
        "edges": [
            {"src": s, "dst": d, "slot": slot, "variable": v, "live": True}
            for s, d, slot, v in edges
        ],
        "examples": [
            {"ids": [0, 2, 1], "output": ["BOS", "no", "yes"]},
            {"ids": [0, 1, 2], "output": ["BOS", "no", "no"]},
        ],
    }
    return data, weights


def write_program(folder, change=None):
    data, weights = hand_written()
    if change is not None:
        change(SimpleNamespace(data=data, weights=weights))
    (folder / "after_b.json").write_text(json.dumps(data))
    np.savez(folder / "after_b.npz", **weights)
    return folder / "after_b.json"
