"""The shuffle buffer's bound, and what it holds."""

import numpy as np
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.training import RunFolder, TokenWindows, harvest
from circuitscope_core.training.activations import Activations
from circuitscope_core.training.run_folder import is_state
from circuitscope_core.training.shuffle_buffer import (
    BufferPlan,
    bytes_a_token,
    fill,
    plan_buffer,
)
from circuitscope_core.transcoder import name_layers, widen
from tests.samples import tiny_model, tiny_transcoder

WINDOWS = TokenWindows.of(np.random.default_rng(0).integers(0, 256, 900), 256, 16)


def filled(plan, layers, **given):
    model = tiny_model(n_layers=3)
    windows = WINDOWS.sample(plan.n_sequences, np.random.default_rng(1))[:, :-1]
    *shares, found = fill(plan, model, windows, "in", layers, **{"with_stream": False, **given})
    return model, windows, shares, found


@pytest.mark.parametrize("bound", [1_000, 5_000, 50_000])
def test_a_buffer_stays_within_its_bound_and_is_filled_evenly(bound):
    plan = plan_buffer((64, 100), 500, bound, torch.bfloat16, None)
    assert 0 < plan.n_sequences * 500 <= bound
    assert plan.n_sequences <= 64
    times = -(-100 // plan.n_sequences)
    assert times * plan.n_sequences - 100 < times  # hardly more than is needed


def test_the_bytes_are_those_that_it_takes(tmp_path):
    for folder in (None, tmp_path / "buffer"):
        plan = BufferPlan(20, torch.bfloat16, folder)
        model, windows, _, found = filled(plan, (0, 2), with_stream=True)
        held = [found.inputs, found.targets, found.resid_mid]
        token = bytes_a_token(2, model.shape.d_model, torch.bfloat16, with_stream=True)
        assert sum(item.numel() * item.element_size() for item in held) == 20 * 15 * token
        assert found.n_tokens == windows.shape[0] * 15


def test_it_holds_some_layers_of_what_a_harvest_gives_rounded():
    model, windows, shares, found = filled(BufferPlan(40, torch.bfloat16), (0, 2))
    whole = harvest(model, windows, "in")
    assert shares[-1] == 1
    assert shares == sorted(shares)
    for mine, theirs in ((found.inputs, whole.inputs), (found.targets, whole.targets)):
        assert torch.equal(mine, theirs[[0, 2]].to(torch.bfloat16))


def test_a_batch_is_a_copy_in_the_precision_that_is_wanted():
    held = Activations(*torch.randn(3, 2, 9, 4).to(torch.bfloat16).unbind())
    batch = held.at(torch.tensor([5, 1]), like=torch.zeros(1))
    assert batch.inputs.dtype == torch.float32
    assert torch.equal(batch.resid_mid, held.resid_mid[:, [5, 1]].float())


def test_a_bound_below_one_sequence_is_refused_with_the_numbers():
    with pytest.raises(cs.TrainingError, match=r"buffer_bytes is 499, .* take 500 bytes"):
        plan_buffer((64, 100), 500, 499, torch.bfloat16, None)


@pytest.mark.parametrize("kind", [{}, {"cross_layer": False}, {"skip_connection": True}], ids=str)
def test_a_widened_transcoder_does_at_its_layers_what_the_small_one_does(kind):
    small = tiny_transcoder(n_layers=2, **kind)
    wide = widen([small], [(1, 3)], 5)
    x = torch.randn(5, 7, 8)
    acts = torch.stack([wide.encode(layer, x[layer]) for layer in range(5)])
    own = torch.stack([small.encode(number, x[layer]) for number, layer in enumerate((1, 3))])
    assert torch.equal(acts[[1, 3]], own)
    assert not acts[[0, 2, 4]].any()
    out = wide.decode(acts, x)
    torch.testing.assert_close(out[[1, 3]], small.decode(own, x[[1, 3]]))
    assert not out[[0, 2, 4]].any()
    assert wide.config.trained_layers == (1, 3)
    assert widen([small], [(0, 1)], 2).config.trained_layers is None


def test_a_top_k_has_no_active_feature_where_it_was_not_trained():
    wide = widen([tiny_transcoder(activation="topk", k=3)], [(0, 1)], 3)
    assert len(wide.active(2, torch.randn(4, 8)).features) == 0
    assert len(wide.active(0, torch.randn(4, 8)).features) == 12


def test_a_folder_whose_silent_layers_have_weights_is_refused(tmp_path):
    from circuitscope_core.transcoder_formats import save_transcoder

    wide = widen([tiny_transcoder(n_layers=1)], [(1,)], 3)
    save_transcoder(wide, tmp_path)
    assert cs.load_transcoder(tmp_path).config == wide.config
    settings = tmp_path / "config.yaml"
    for given, words in (
        ("[0]", "Layer 1 has weights"),
        ("[3]", "must list layers from 0 to 2"),
        ("[]", "must list layers"),
    ):
        text = settings.read_text().split("trained_layers")[0]
        settings.write_text(f"{text}trained_layers: {given}\nwrite_point: added\n")
        with pytest.raises(cs.BundleError, match=words):
            cs.load_transcoder(tmp_path)


def test_layers_are_named_as_runs():
    assert name_layers([0]) == "0"
    assert name_layers([1, 2, 5, 7, 8, 9]) == "1–2, 5, 7–9"


def test_the_checkpoints_of_all_groups_travel_with_a_run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim({"text": "x"})
    for number in (0, 1, 10):
        folder.group_checkpoint(number).save(number, {"w": torch.zeros(1)})
    assert folder.progress() == (-1, 0, 1, 10)
    names = {path.name for path in folder.path.iterdir()}
    assert names == {name for name in names if is_state(name)}
    assert not any(
        map(is_state, ("events.jsonl", "transcoder_x.safetensors", "transcoder.partial"))
    )
    other = RunFolder(tmp_path / "other")
    other.take(folder)
    assert other.progress() == folder.progress()
    assert folder.settle("groups", [[1], [2]]) == [[1], [2]]
    assert folder.settle("groups", [[1, 2]]) == [[1], [2]]
