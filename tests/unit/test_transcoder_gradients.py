"""The training step's gradients against autograd on the loss's definition."""

import dataclasses
import math

import pytest
import torch

from circuitscope_core import TranscoderTraining
from circuitscope_core.training import Activations
from circuitscope_core.training.batches import BatchPart
from circuitscope_core.training.sparsity import RAMP, Sparsity
from circuitscope_core.training.transcoder_gradients import set_gradients
from circuitscope_core.transcoder import transcoder_loss
from tests.samples import tiny_transcoder

SETTINGS = TranscoderTraining(preactivation_coefficient=0.05)
WEIGHTS = (0.7, 0.4, 0.9)
"""The weights of the penalty on active features, each layer's own."""
KINDS = [
    {},
    {"n_layers": 1},
    {"n_layers": 3},
    {"n_layers": 3, "cross_layer": False},
    {"cross_layer": False, "skip_connection": True},
    {"activation": "topk", "k": 3},
    {"n_layers": 3, "activation": "topk_relu", "k": 4, "cross_layer": False},
    {"n_layers": 3, "activation": "topk_relu", "k": 4, "skip_connection": True},
]


def trained(**kind):
    return tiny_transcoder(**kind).requires_grad_(True)


def batch_for(transcoder, n=40):
    n_layers, d_model = transcoder.config.n_layers, transcoder.config.d_model
    return torch.randn(2, n_layers, n, d_model).unbind(0)


def by_autograd(transcoder, inputs, targets):
    transcoder.zero_grad()
    loss = transcoder_loss(transcoder, inputs, targets, SETTINGS, WEIGHTS[: len(inputs)])
    loss.total.backward()
    grads = {name: w.grad for name, w in transcoder.named_parameters()}
    return loss, {  # a top-k has no thresholds that could get one
        name: torch.zeros_like(transcoder.get_parameter(name)) if grad is None else grad.clone()
        for name, grad in grads.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("silent", [False, True])
def test_gradients_and_loss_are_those_of_autograd(kind, silent):
    transcoder = trained(**kind)
    if silent and transcoder.config.activation == "topk":
        pytest.skip("some features of a top-k are always active")
    if silent:  # one layer without an active feature
        with torch.no_grad():
            transcoder.log_threshold[0] = math.log(1e6)
            transcoder.b_enc[0] -= 1e6 * (transcoder.config.k is not None)
    inputs, targets = batch_for(transcoder)
    expected, gradients = by_autograd(transcoder, inputs, targets)
    assert silent or 0.05 < float(expected.l0) / 12 < 0.8
    batch = Activations(inputs, targets)
    weights = WEIGHTS[: len(inputs)]
    loss = set_gradients(transcoder, batch, SETTINGS, weights, BatchPart.whole(40, 40))
    for item in dataclasses.fields(expected):
        one, two = getattr(loss, item.name), getattr(expected, item.name)
        torch.testing.assert_close(one, two.detach(), rtol=1e-5, atol=1e-6)
    for name, weight in transcoder.named_parameters():
        scale = float(gradients[name].abs().max())
        torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-4, atol=1e-5 * scale)


def test_threshold_gradients_of_parts_of_a_batch_have_the_whole_batchs_mean():
    transcoder = trained(n_layers=3)
    inputs, targets = batch_for(transcoder)
    _, gradients = by_autograd(transcoder, inputs, targets)
    parts = []
    for start in range(0, 40, 10):
        order = torch.arange(40).roll(-start)
        batch = Activations(inputs, targets).at(order)
        set_gradients(transcoder, batch, SETTINGS, WEIGHTS, BatchPart.whole(40, 10))
        parts.append(transcoder.log_threshold.grad.clone())
    assert not torch.allclose(parts[0], parts[1])
    torch.testing.assert_close(torch.stack(parts).mean(dim=0), gradients["log_threshold"])


def test_the_weights_of_the_last_step_leave_no_trace():
    transcoder = trained()
    batch = Activations(*batch_for(transcoder))
    set_gradients(transcoder, batch, SETTINGS, 0.7)
    once = [weight.grad.clone() for weight in transcoder.parameters()]
    set_gradients(transcoder, batch, SETTINGS, 0.7)
    for before, weight in zip(once, transcoder.parameters(), strict=True):
        assert torch.equal(before, weight.grad)


def test_without_a_wanted_l0_the_penalty_rises_on_a_line_to_its_weight():
    sparsity = Sparsity(TranscoderTraining(target_l0=0.0, sparsity_coefficient=0.3), 100)
    for step in range(100):
        assert sparsity.coefficient(step) == pytest.approx(0.3 * step / 100)
        sparsity.follow(step, l0=1e6, decay=1.0)


@pytest.mark.parametrize("start", [0.01, 0.2, 5.0])
def test_the_penalty_finds_the_l0_that_is_wanted(start):
    n_steps = 3000
    settings = TranscoderTraining(target_l0=12.0, sparsity_coefficient=start)
    sparsity = Sparsity(settings, n_steps)
    l0 = 20.0
    for step in range(n_steps):
        # L0 follows the penalty with a delay, as a training does
        natural = 30.0 * (1 + 20 * sparsity.coefficient(step)) ** -0.5
        l0 += (natural - l0) / 150
        sparsity.follow(step, l0, 1.0)
        if step < RAMP * n_steps:
            assert sparsity.top == start
    assert l0 == pytest.approx(12, rel=0.03)
