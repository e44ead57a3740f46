"""Random models with transcoders that have a given number of active features."""

import json
import multiprocessing
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs

SPAWN = multiprocessing.get_context("spawn")
L0 = 10
BATCH_SIZE = 16
"""The batch size at which circuit-tracer is fastest on a CPU."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model, its transcoder and its prompt."""

    n_layers: int
    d_model: int
    n_heads: int
    d_transcoder: int
    n_pos: int = 64
    max_feature_nodes: int | None = None


@contextmanager
def random_weights(sizes):
    """Give a folder with weights while they are needed."""
    with tempfile.TemporaryDirectory() as name:
        # apart: a process counts the largest memory of the one that started it as its own
        maker = SPAWN.Process(target=make_weights, args=(sizes, Path(name)))
        maker.start()
        maker.join()
        yield Path(name)


def make_weights(sizes, folder):
    """Write random weights whose transcoder has ``L0`` active features a token and layer."""
    n_layers, d_model = sizes.n_layers, sizes.d_model
    torch.manual_seed(0)
    config = cs.ModelConfig(
        n_layers=n_layers,
        d_model=d_model,
        n_heads=sizes.n_heads,
        d_head=d_model // sizes.n_heads,
        d_mlp=4 * d_model,
        n_ctx=sizes.n_pos,
        positions="learned",
    )
    model = cs.Transformer(config).requires_grad_(False)
    for name, weight in model.named_parameters():
        if name.endswith(("W_O", "W_out")):
            weight.normal_(std=d_model**-0.5)
        elif name.endswith(("W_E", "W_pos", "W_U")):
            weight.normal_()
    transcoder = cs.CrossLayerTranscoder(
        cs.TranscoderConfig(
            n_layers=n_layers,
            d_model=d_model,
            d_transcoder=sizes.d_transcoder,
            read_point="mid",
            write_point="added",
        )
    ).requires_grad_(False)
    for decoders in transcoder.W_dec:
        decoders.normal_(std=(d_model * n_layers) ** -0.5)
    tokens = [256, *torch.randint(0, 256, (sizes.n_pos - 1,)).tolist()]
    for site in model.record(torch.tensor([tokens])).sites:
        pre_acts = transcoder.pre_activations(site.layer, site.resid_mid[0, 1:])
        cut = pre_acts.flatten().topk(L0 * (sizes.n_pos - 1)).values[-1]
        transcoder.log_threshold[site.layer] = (cut - 1e-6).log()
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    cs.save_transcoder(transcoder, folder / "transcoder")
    settings = {"model": config.to_json(), "tokens": tokens}
    settings |= {"max_feature_nodes": sizes.max_feature_nodes, "batch_size": BATCH_SIZE}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
