"""Published names of read points on models of families that mean different tensors by them."""

import pytest
import torch
from safetensors.torch import save_file

import circuitscope_core as cs
from circuitscope_core.pretrained import PretrainedModel
from tests.formats.layouts import write_yaml
from tests.pretrained_families import random_module

IDS = torch.randint(0, 97, (64,), generator=torch.Generator().manual_seed(3)).tolist()
SETTINGS = {
    "model_kind": "transcoder_set",
    "feature_input_hook": "ln2.hook_normalized",
    "feature_output_hook": "hook_mlp_out",
}


@torch.no_grad()
def write_transcoder(model, point, model_name, folder):
    """Write a set whose skip weights are the best linear map from a read point to MLP outputs."""
    generator = torch.Generator().manual_seed(0)
    folder.mkdir()
    for site in model.mlp_pass(model.tokens(IDS)).sites:
        read, wanted = site.read(point)[0], site.mlp_out[0]
        rows = torch.cat([read, torch.ones_like(read[:, :1])], dim=1)
        fitted = torch.linalg.lstsq(rows, wanted).solution
        width = read.shape[1]
        encoder = torch.randn(16, width, generator=generator) * width**-0.5
        decoder = torch.randn(16, width, generator=generator) * 1e-3 * wanted.std().float()
        tensors = {
            "W_enc": encoder,
            "W_dec": decoder,
            "b_enc": torch.zeros(16),
            "b_dec": fitted[-1].float(),
            "W_skip": fitted[:-1].T.contiguous().float(),
        }
        save_file(tensors, folder / f"layer_{site.layer}.safetensors")
    write_yaml({**SETTINGS, "model_name": model_name}, folder / "config.yaml")


@pytest.mark.parametrize(
    ("family", "model_name", "point", "other"),
    [
        ("Gemma-2", "google/gemma-2-2b", "unit", "in"),
        ("Qwen3", "Qwen/Qwen3-0.6B", "unit", "mid"),
        ("GPT-2", "gpt2", "in", "unit"),
    ],
)
def test_a_hook_of_two_meanings_is_read_as_the_family_has_it(
    tmp_path, family, model_name, point, other
):
    model, folder = PretrainedModel(random_module(family)), tmp_path / "transcoder"
    write_transcoder(model, point, model_name, folder)
    replacement = cs.ReplacementModel(model, cs.load_transcoder(folder).double())
    fit = cs.check_read_point(replacement, IDS)
    assert (fit.read_point, fit.better) == (point, None)
    assert fit.explained[point] > 0.5
    elsewhere = cs.load_transcoder(folder, read_point=other).double()
    wrong = cs.check_read_point(cs.ReplacementModel(model, elsewhere), IDS)
    assert (wrong.read_point, wrong.better) == (other, point)
    graph = cs.attribute(replacement, IDS[:12])
    rows = graph.target_nodes
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    assert graph.n_features > 50
    assert float(((got - graph.pre_activations[rows]).abs() / size).max()) < 1e-6
