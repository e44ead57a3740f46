"""JumpReLU, decoding, the loss and the scales."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitscope_core import TranscoderConfig, TranscoderTraining
from circuitscope_core.prompt_pass import reconstruct
from circuitscope_core.replacement import run_replacement
from circuitscope_core.transcoder import (
    CrossLayerTranscoder,
    fold_scales,
    initialize,
    jump_relu,
    measure_scales,
    transcoder_loss,
)
from tests.samples import tiny_replacement, tiny_transcoder


def test_jump_relu_needs_more_than_the_threshold():
    log_threshold = torch.tensor([0.5]).log()
    pre_acts = torch.tensor([[-1.0], [0.4], [0.5], [0.6]])
    assert jump_relu(pre_acts, log_threshold, 1.0).flatten().tolist() == pytest.approx(
        [0, 0, 0, 0.6]
    )


def test_the_straight_through_gradients_are_as_defined():
    log_threshold = torch.tensor([0.5]).log().requires_grad_()
    pre_acts = torch.tensor([[0.2], [0.45], [0.55], [2.0]]).requires_grad_()
    weights = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    (jump_relu(pre_acts, log_threshold, 0.2) * weights).sum().backward()
    assert pre_acts.grad.flatten().tolist() == [0.0, 0.0, 3.0, 4.0]
    # only |h - 0.5| < 0.1 counts: -(0.5 / 0.2) * (2 + 3)
    assert log_threshold.grad.item() == pytest.approx(-12.5)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(["all", "none", "layer", "last position"]),
    st.integers(0, 100),
)
def test_decoding_matches_a_masked_einsum_and_keeps_the_shape(n_layers, cross, silent, seed):
    transcoder = tiny_transcoder(seed, n_layers=n_layers, cross_layer=cross)
    acts = torch.rand(n_layers, 5, 12, generator=torch.Generator().manual_seed(seed))
    if silent == "none":
        acts[:] = 0
    elif silent == "layer":
        acts[seed % n_layers] = 0
    elif silent == "last position":
        acts[:, -1] = 0
    every = torch.arange(12)
    dense = torch.stack([transcoder.decoder_vectors(layer, every) for layer in range(n_layers)])
    expected = torch.einsum("kpf,kfld->lpd", acts, dense) + transcoder.b_dec[:, None]
    decoded = transcoder.decode(acts)
    assert decoded.shape == (n_layers, 5, 8)
    torch.testing.assert_close(decoded, expected)


def test_a_feature_writes_to_no_layer_below_its_own():
    vectors = tiny_transcoder(n_layers=3).decoder_vectors(1, torch.arange(12))
    assert vectors[:, 0].count_nonzero() == 0
    assert vectors[:, 1:].count_nonzero() == vectors[:, 1:].numel()


def slow_loss(transcoder, inputs, targets, settings, coefficient):
    """The loss in plain loops over tokens, layers and features."""
    total, n_layers = 0.0, len(inputs)
    for token in range(inputs.shape[1]):
        written = transcoder.b_dec.clone()
        for layer in range(n_layers):
            pre = transcoder.W_enc[layer] @ inputs[layer, token] + transcoder.b_enc[layer]
            for feature in range(len(pre)):
                decoder = transcoder.W_dec[layer][feature]
                norm = decoder.square().sum().sqrt()
                threshold = transcoder.threshold[layer, feature]
                act = pre[feature] if pre[feature] > threshold else torch.tensor(0.0)
                written[layer:] = written[layer:] + act * decoder
                total += coefficient * torch.tanh(settings.tanh_scale * act * norm)
                below = torch.relu(threshold - pre[feature])
                total += settings.preactivation_coefficient * below * norm
        total += (written - targets[:, token]).square().sum()
    return total / inputs.shape[1]


def test_the_loss_matches_plain_loops():
    transcoder = tiny_transcoder()
    inputs, targets = torch.randn(2, 2, 6, 8).unbind(0)
    training = TranscoderTraining(preactivation_coefficient=0.1)
    loss = transcoder_loss(transcoder, inputs, targets, training, 0.7)
    expected = slow_loss(transcoder, inputs, targets, training, 0.7)
    torch.testing.assert_close(loss.total, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [{}, {"cross_layer": False, "skip_connection": True}])
def test_decoding_the_active_features_alone_gives_the_same(kind):
    transcoder = tiny_transcoder(n_layers=3, **kind)
    inputs = torch.randn(3, 6, 8)
    acts = torch.stack([transcoder.encode(layer, x) for layer, x in enumerate(inputs)])
    features = acts.nonzero()
    assert 10 < len(features) < acts.numel() / 2
    active = reconstruct(transcoder, features, acts[tuple(features.T)], inputs)
    torch.testing.assert_close(active, transcoder.decode(acts, inputs))


def test_doubling_the_batch_changes_no_part_of_the_loss():
    transcoder = tiny_transcoder()
    inputs, targets = torch.randn(2, 2, 6, 8).unbind(0)
    once = transcoder_loss(transcoder, inputs, targets, TranscoderTraining(), 0.7)
    inputs, targets = torch.cat([inputs, inputs], 1), torch.cat([targets, targets], 1)
    twice = transcoder_loss(transcoder, inputs, targets, TranscoderTraining(), 0.7)
    for item in dataclasses.fields(once):
        one, two = getattr(once, item.name), getattr(twice, item.name)
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("skip_connection", [False, True])
def test_folding_the_scales_changes_nothing_but_the_units(skip_connection):
    transcoder = tiny_transcoder(n_layers=3, skip_connection=skip_connection)
    inputs, outputs = 5 * torch.randn(3, 40, 8) + 1, 0.1 * torch.randn(3, 40, 8) - 2
    scales = measure_scales(inputs, outputs)
    scaled = inputs * scales.inputs[:, None, None]
    assert scaled.square().sum(2).mean(1).tolist() == pytest.approx([8.0] * 3, rel=1e-4)
    folded = fold_scales(transcoder, scales)
    acts = torch.stack([transcoder.encode(layer, scaled[layer]) for layer in range(3)])
    again = torch.stack([folded.encode(layer, inputs[layer]) for layer in range(3)])
    torch.testing.assert_close(again, acts, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        folded.decode(acts, inputs) * scales.targets[:, None, None],
        transcoder.decode(acts, scaled),
    )


def test_new_features_fire_at_the_chosen_rate_and_the_first_guess_is_the_mean():
    transcoder = CrossLayerTranscoder(TranscoderConfig(2, 8, 50))
    inputs, outputs = torch.randn(2, 4000, 8), torch.randn(2, 4000, 8) + 3
    scales = measure_scales(inputs, outputs)
    training = TranscoderTraining(initial_rate=0.05)
    initialize(transcoder, inputs, scales, training, [torch.Generator().manual_seed(0)])
    rate = torch.stack([transcoder.encode(layer, inputs[layer]) > 0 for layer in range(2)])
    assert rate.float().mean(1).flatten().tolist() == pytest.approx([0.05] * 100, abs=0.002)
    silent = transcoder.decode(torch.zeros(2, 1, 50))[:, 0]
    torch.testing.assert_close(silent, outputs.mean(1) * scales.targets[:, None])


def test_a_perfect_transcoder_replaces_the_mlps_without_a_trace():
    replacement = tiny_replacement(threshold=1e6)  # nothing fires: outputs are b_dec
    tokens = torch.tensor([[256, 65, 66, 67]])
    with torch.no_grad():
        for layer in range(2):
            mlp = replacement.model.block(layer).mlp
            mlp.W_out.zero_()
            replacement.transcoder.b_dec[layer] = mlp.b_out
    replaced = run_replacement(replacement.model, replacement.transcoder, tokens)
    torch.testing.assert_close(replaced, replacement.model(tokens), rtol=1e-5, atol=1e-5)


def test_an_mlp_that_always_writes_the_same_keeps_its_scale():
    inputs = torch.randn(3, 50, 4)
    targets = torch.randn(3, 50, 4)
    targets[1] = torch.tensor([0.1, -0.7, 0.0, 3.0])
    targets[2] = 0
    scales = measure_scales(inputs, targets)
    spread = (targets[0] - targets[0].mean(dim=0)).square().sum(dim=1).mean()
    assert float(scales.targets[0]) == pytest.approx(float((4 / spread) ** 0.5))
    assert scales.targets[1:].tolist() == [1, 1]
