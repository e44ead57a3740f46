"""A step in shares, one for each core: the same gradients and weights, whatever the number."""

import copy
import dataclasses
import resource
import sys

import numpy as np
import pytest
import torch

from circuitscope_core import cores
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.training import ALONE, Progress, TokenWindows, core_shares
from circuitscope_core.training.optimizers import Muon
from circuitscope_core.transcoder import CrossLayerTranscoder
from tests.pretrained_families import random_module
from tests.unit.trainer_samples import language_model, transcoder


def transcoder_of_hugging_face(_, folder):
    """Return a transcoder's training, with interventions, for a model of ``transformers``."""
    model = PretrainedModel(random_module("LLaMA-3", torch.float32).requires_grad_(False))
    trainer = transcoder(ALONE, folder)
    sizes = {"n_layers": model.shape.n_layers, "d_model": model.shape.d_model}
    config = dataclasses.replace(trainer.transcoder.config, **sizes)
    tokens = np.random.default_rng(0).integers(0, model.shape.d_vocab, 4000).astype(np.uint16)
    return dataclasses.replace(
        trainer,
        model=model,
        transcoder=CrossLayerTranscoder(config),
        train=TokenWindows.of(tokens, 1, 16),
    )


MAKERS = pytest.mark.parametrize("make", [language_model, transcoder])


def trainer_with(n, make, folder, monkeypatch):
    """Return a trainer whose steps are divided into ``n`` shares."""
    monkeypatch.setattr(core_shares, "LEAST_TOKENS", 1)
    monkeypatch.setattr(core_shares, "n_cores", lambda: n)
    trainer = make(ALONE, folder)
    assert trainer.on_cores.n == n
    return trainer


def module_of(trainer):
    return getattr(trainer, "transcoder", trainer.model)


def first_gradients(trainer):
    trainer.prepare()
    loss = trainer.train_step(*next(iter(trainer.batches())))
    weights = module_of(trainer).named_parameters()
    return getattr(loss, "total", loss), {name: weight.grad.clone() for name, weight in weights}


@pytest.mark.parametrize("make", [language_model, transcoder, transcoder_of_hugging_face])
@pytest.mark.parametrize("n", [2, 3])
def test_shares_add_up_to_the_whole_step(make, n, tmp_path, monkeypatch):
    whole_loss, whole = first_gradients(trainer_with(1, make, tmp_path / "1", monkeypatch))
    loss, shared = first_gradients(trainer_with(n, make, tmp_path / "n", monkeypatch))
    torch.testing.assert_close(loss, whole_loss)
    for name, expected in whole.items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(shared[name], expected, rtol=1e-3, atol=2e-5 * scale + 1e-8)


@MAKERS
def test_a_training_in_shares_is_repeated_and_resumed_bit_for_bit(make, tmp_path, monkeypatch):
    def trained(folder):
        trainer = trainer_with(2, make, folder, monkeypatch)
        list(trainer.events())
        return module_of(trainer).state_dict()

    whole = trained(tmp_path / "whole")
    again = trained(tmp_path / "again")
    begun = trainer_with(2, make, tmp_path / "cut", monkeypatch).events()
    next(event for event in begun if isinstance(event, Progress) and event.step >= 5)
    begun.close()
    resumed = trained(tmp_path / "cut")
    for name, value in whole.items():
        assert torch.equal(again[name], value)
        assert torch.equal(resumed[name], value)


def test_copies_follow_the_weights_and_keep_gradients_of_their_own():
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    module[0].bias = module[1].bias  # tied weights stay tied
    copied = core_shares.sharing_weights(module)
    with torch.no_grad():
        module[0].weight.fill_(2.0)
    assert torch.equal(copied[0].weight, module[0].weight)
    assert copied[0].bias is copied[1].bias
    assert copied[1].running_mean is module[1].running_mean
    copied(torch.randn(4, 3)).sum().backward()
    assert module[0].weight.grad is None


def test_small_steps_and_other_devices_have_one_share(monkeypatch):
    monkeypatch.setattr(core_shares, "n_cores", lambda: 4)
    cpu, card = torch.device("cpu"), torch.device("cuda")
    sizes = (10, 511, 512, 1024, 2**20)
    assert [core_shares.n_shares(n, cpu) for n in sizes] == [1, 1, 2, 4, 4]
    assert core_shares.n_shares(2**20, card) == 1


@pytest.mark.parametrize("n", [2, 3, 5])
def test_cores_share_the_matrices_of_muon(n):
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(6, 4)) for _ in range(3)]
    weights.append(torch.nn.Parameter(torch.randn(4, 9)))
    alone, shared = weights, copy.deepcopy(weights)
    for one, other in zip(alone, shared, strict=True):
        one.grad = torch.randn_like(one)
        other.grad = one.grad.clone()
    Muon([{"params": alone}], lr=0.1).step()
    Muon([{"params": shared}], lr=0.1, n_parts=n).step()
    for one, other in zip(alone, shared, strict=True):
        torch.testing.assert_close(other, one)


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of the GNU C library")
def test_freed_memory_is_used_again_and_given_back_at_the_end():
    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            torch.ones(2**23)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages = 4 * 2**23 // resource.getpagesize()
    with cores.freed_memory_kept():
        faults()
        with cores.freed_memory_kept():
            assert faults() < pages // 2
        assert faults() < pages // 2
    assert faults() >= pages
