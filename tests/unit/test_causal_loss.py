"""The gradient of the loss on interventions against autograd on a plain definition."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.training import (
    Activations,
    CheckpointFile,
    Pace,
    TokenWindows,
    TranscoderTrainer,
)
from circuitscope_core.training.active_entries import ActiveEntries
from circuitscope_core.training.batches import BatchPart
from circuitscope_core.training.causal_loss import (
    FLOOR,
    Interventions,
    draw_removed,
    pushed_tokens,
)
from circuitscope_core.training.transcoder_gradients import set_gradients
from circuitscope_core.transcoder import ActivationScales
from tests.samples import tiny_model, tiny_transcoder

SETTINGS = cs.TranscoderTraining(preactivation_coefficient=0.05)
KINDS = [
    {},
    {"skip_connection": True},
    {"cross_layer": False, "skip_connection": True},
    {"read_point": "mid", "skip_connection": True},
]
N, SHARE, WEIGHT = 48, 0.3, 0.7


def sample(**kind):
    """Return a model, a transcoder and a batch of scaled activations of both."""
    model = tiny_model(n_layers=3).requires_grad_(False)
    transcoder = tiny_transcoder(n_layers=3, **kind).requires_grad_(True)
    ids = torch.randint(0, model.config.d_vocab, (8, 7))
    sites = model.mlp_pass(ids).sites
    scales = ActivationScales(
        torch.tensor([1.1, 0.9, 1.2]), torch.tensor([2.0, 3.0, 1.5]), torch.zeros(3, 1)
    )
    reads = torch.stack([site.read(transcoder.config.read_point)[:, 1:] for site in sites])
    outs = torch.stack([site.mlp_out[:, 1:] for site in sites])
    mids = torch.stack([site.resid_mid[:, 1:] for site in sites])
    flat = [item.flatten(1, 2)[:, :N].contiguous() for item in (reads, outs, mids)]
    return model, transcoder, scales, Activations(*flat).scaled(scales)


def asking(model, scales, batch, weight=WEIGHT):
    rng = np.random.default_rng(3)
    return Interventions(model, scales, batch.resid_mid, weight, SHARE, rng)


def gradients_of(transcoder, batch, interventions, part=None):
    loss = set_gradients(transcoder, batch, SETTINGS, 0.3, part, interventions)
    return loss, {name: w.grad.clone() for name, w in transcoder.named_parameters()}


def written_by(transcoder, layer, acts):
    """Return what a layer's features write to all outputs ``[n_layers, n, d_model]``."""
    out = torch.zeros(3, len(acts), transcoder.config.d_model)
    parts = transcoder.write(layer, acts).unbind(dim=1)
    return torch.cat([out[:layer], torch.stack(parts), out[layer + len(parts) :]])


def loss_by_definition(model, transcoder, scales, batch, seed=3):
    """Remove the same features one layer and one dense product at a time."""
    rng, total = np.random.default_rng(seed), torch.zeros(())
    config = transcoder.config

    def acts_of(layer, x):
        pre = transcoder.pre_activations(layer, x)
        return pre * (pre > transcoder.threshold[layer].detach())

    for layer, run in enumerate(pushed_tokens(N, 3, SHARE, N)):
        draws = rng.random((4, len(run)))
        draws[1, ::2] = 0
        at = slice(run.start, run.stop)
        clean = acts_of(layer, batch.inputs[layer, at]).detach()
        removed = torch.zeros_like(clean)
        for token, row in enumerate(clean):
            active = row.nonzero()[:, 0].tolist()
            choice, chance, a, b = draws[:, token]
            for place, feature in enumerate(active):
                if place == int(choice * len(active)) or (a + b * feature) % 1 < chance:
                    removed[token, feature] = row[feature]
        ours = -written_by(transcoder, layer, removed)
        moved = ours[layer].detach() / scales.targets[layer]
        for above in range(layer + 1, 3):
            mid = batch.resid_mid[above, at] + moved
            site = model.run_mlp_at(above, mid)
            answer = site.mlp_out * scales.targets[above] - batch.targets[above, at]
            moved = moved + answer / scales.targets[above]
            new = site.read(config.read_point) * scales.inputs[above]
            old = batch.inputs[above, at]
            ours = ours + written_by(transcoder, above, acts_of(above, new) - acts_of(above, old))
            skipped = transcoder.skip(above, new - old)
            ours = ours + torch.stack([skipped if n == above else skipped * 0 for n in range(3)])
            size = answer.square().sum(1) + FLOOR * config.d_model
            errors = (ours[above] - answer).square().sum(1) / size
            total = total + WEIGHT * config.d_model / (len(run) * 2) * errors.sum()
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_and_its_gradient_are_those_of_the_definition(kind):
    model, transcoder, scales, batch = sample(**kind)
    without, before = gradients_of(transcoder, batch, None)
    loss, after = gradients_of(transcoder, batch, asking(model, scales, batch))
    transcoder.zero_grad()
    wanted = loss_by_definition(model, transcoder, scales, batch)
    wanted.backward()
    wanted = wanted.detach()
    assert float(wanted) > 0.1
    assert float(loss.causal) == pytest.approx(float(wanted), rel=1e-4)
    assert float(loss.total - without.total) == pytest.approx(float(wanted), rel=1e-3)
    for name, weight in transcoder.named_parameters():
        if weight.grad is not None:
            scale = float(weight.grad.abs().max())
            own = after[name] - before[name]
            torch.testing.assert_close(own, weight.grad, rtol=1e-3, atol=2e-5 * max(scale, 1))
    assert torch.equal(after["log_threshold"], before["log_threshold"])


def test_parts_of_a_batch_add_up_to_the_whole():
    model, transcoder, scales, batch = sample(skip_connection=True)
    whole, wanted = gradients_of(transcoder, batch, asking(model, scales, batch))
    mine = torch.arange(N) % 3 == 0
    sums, causal = {}, 0.0
    for own in (mine, ~mine):
        part, places = batch.at(own.nonzero()[:, 0]), BatchPart.of(own)
        loss, found = gradients_of(transcoder, part, asking(model, scales, part), places)
        causal += float(loss.causal)
        for name, value in found.items():
            sums[name] = sums.get(name, 0) + value
    assert causal == pytest.approx(float(whole.causal), rel=1e-4)
    for name in ("W_enc", "W_dec.0", "W_dec.1", "W_dec.2", "W_skip", "b_enc", "b_dec"):
        torch.testing.assert_close(sums[name], wanted[name], rtol=1e-3, atol=1e-4)


def test_one_feature_is_removed_at_every_token_and_more_at_every_other_one():
    pre_acts = torch.ones(200, 12) * (torch.rand(200, 12) < 0.5)
    pre_acts[7] = 0  # nothing is active here
    active = ActiveEntries.of(pre_acts, torch.zeros(12))
    draws = np.random.default_rng(0).random((4, 150))
    draws[1, ::2] = 0
    removed = draw_removed(0, active, slice(50, 200), draws)
    tokens, features, acts = removed.entries
    assert bool((pre_acts[tokens + 50, features] == 1).all())
    assert bool((acts == 1).all())
    counts = torch.bincount(tokens, minlength=150)
    assert set(counts[::2].tolist()) == {1}
    assert 2 < float(counts[1::2].float().mean()) < 5
    none = draw_removed(0, active, slice(7, 8), draws[:, :1])
    assert len(none.entries[0]) == 0


def test_of_two_features_each_is_removed_whatever_the_other_one_does():
    both = torch.ones(20_000, 2)
    active = ActiveEntries.of(both, torch.zeros(2))
    draws = np.random.default_rng(1).random((4, 20_000))
    draws[0], draws[1] = 0, 0.3  # always the first one; the second by its own chance
    removed = draw_removed(0, active, slice(0, 20_000), draws)
    share = float((removed.entries[1] == 1).float().mean() * len(removed.entries[1]) / 20_000)
    assert share == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(("n", "share"), [(1024, 0.25), (8, 1.0), (4, 0.1)])
def test_pushed_tokens_lie_within_the_batch_and_are_others_for_each_layer(n, share):
    runs = pushed_tokens(n, 3, share, n // 8)
    assert len(runs) == 2
    assert all(0 <= run.start <= run.stop <= n for run in runs)
    assert set(runs[0]).isdisjoint(runs[1])


def test_every_layer_of_a_deep_model_has_the_same_number_of_pushed_tokens():
    runs = pushed_tokens(1024, 12, 0.25, 64)
    assert [len(run) for run in runs] == [1024 // 11] * 11
    assert len(set().union(*runs)) == 11 * (1024 // 11)


def test_a_transcoder_that_reads_before_attention_is_refused_a_loss_on_interventions():
    model, transcoder = tiny_model(n_layers=3), tiny_transcoder(n_layers=3, read_point="pre")
    windows = TokenWindows.of(np.zeros(100, dtype=np.uint16), 0, 16)
    rest = (windows, cs.TranscoderTraining(causal_weight=0.25), 0, Pace(1, 1.0))
    with pytest.raises(cs.TrainingError, match="reads before attention"):
        TranscoderTrainer(model, transcoder, *rest, CheckpointFile(Path()))


def test_a_model_whose_mlps_cannot_be_asked_is_refused_where_it_would_be_asked():
    model = Mock(LanguageModel, shape=tiny_model(n_layers=3).shape)
    windows = TokenWindows.of(np.zeros(100, dtype=np.uint16), 0, 16)
    settings = cs.TranscoderTraining(causal_weight=0.25)
    rest = (windows, settings, 0, Pace(1, 1.0), CheckpointFile(Path()))
    with pytest.raises(cs.TrainingError, match="set causal_weight to 0"):
        TranscoderTrainer(model, tiny_transcoder(n_layers=3), *rest)


def some_layers():
    """Return a model of three layers, and a batch for a transcoder of its first and last."""
    model, _, scales, batch = sample(skip_connection=True)
    transcoder = tiny_transcoder(n_layers=2, skip_connection=True).requires_grad_(True)
    kept = torch.tensor([0, 2])
    pair = ActivationScales(scales.inputs[kept], scales.targets[kept], scales.target_means[kept])
    parts = (batch.inputs[kept], batch.targets[kept], batch.resid_mid[kept])
    return model, transcoder, pair, Activations(*parts)


def test_layers_without_features_keep_their_outputs_between_those_that_have_some():
    model, transcoder, scales, batch = some_layers()
    asked = Mock(run_mlp_at=lambda layer, mid: model.run_mlp_at((0, 2)[layer], mid))
    wanted, expected = gradients_of(transcoder, batch, asking(asked, scales, batch))
    chosen = replace(asking(model, scales, batch), layers=(0, 2))
    loss, found = gradients_of(transcoder, batch, chosen)
    assert float(wanted.causal) > 0.01
    assert float(loss.causal) == float(wanted.causal)
    for name, value in found.items():
        assert torch.equal(value, expected[name])


def test_an_answer_from_two_runs_is_that_from_the_output_that_was_kept():
    model, transcoder, scales, batch = sample()
    kept, _ = gradients_of(transcoder, batch, asking(model, scales, batch))
    twice = replace(asking(model, scales, batch), rounded=True)
    again, _ = gradients_of(transcoder, batch, twice)
    assert float(again.causal) == pytest.approx(float(kept.causal), rel=1e-3)
    # from rounded outputs the answers would be mostly rounding; from two runs they are not
    batch.targets.copy_(batch.targets.to(torch.bfloat16))
    mids = batch.resid_mid.to(torch.bfloat16).float()
    rounded = replace(twice, resid_mid=mids, rng=np.random.default_rng(3))
    far, _ = gradients_of(transcoder, batch, rounded)
    assert float(far.causal) == pytest.approx(float(kept.causal), rel=0.1)
