"""Several workers against one: the same gradients, the same weights. Workers are threads here."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import circuitscope_core as cs
from circuitscope_core.training import (
    ALONE,
    Activations,
    PhaseFinished,
    Progress,
    Working,
    measure_loss,
)
from circuitscope_core.training.batches import BatchPart
from circuitscope_core.training.transcoder_gradients import set_gradients
from circuitscope_core.training.transcoder_loop import own_part
from tests.samples import tiny_transcoder
from tests.unit.trainer_samples import language_model, transcoder, windows_of

SETTINGS = cs.TranscoderTraining(preactivation_coefficient=0.05)


@dataclasses.dataclass(frozen=True)
class Thread:
    """A worker whose others are threads of this process."""

    rank: int
    world: int
    barrier: threading.Barrier
    table: dict

    def add_up(self, values):
        self.table[self.rank] = values.clone()
        self.barrier.wait(60)
        values.copy_(sum(self.table[rank] for rank in range(self.world)))
        self.barrier.wait(60)

    def broadcast(self, data):
        if self.rank == 0:
            self.table["data"] = data
        self.barrier.wait(60)
        found = self.table["data"]
        self.barrier.wait(60)
        return found


def together(world, work):
    """Run ``work(workers)`` for every rank at once; returns what each gave."""
    if world == 1:
        return [work(ALONE)]
    barrier, table = threading.Barrier(world), {}

    def one(rank):
        try:
            return work(Thread(rank, world, barrier, table))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(world) as pool:
        return [future.result() for future in [pool.submit(one, rank) for rank in range(world)]]


def assert_nearly(value, expected):
    """Sums in another order differ in the last bit, which every step's optimiser makes larger."""
    distance = float((value - expected).norm() / expected.norm().clamp(min=1e-3))
    assert distance < 1e-3


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("step", [0, 15], ids=["short windows", "whole windows"])
def test_the_models_gradients_add_up_to_one_workers(world, step, tmp_path):
    state = language_model(ALONE, tmp_path).model.state_dict()

    def gradients(workers):
        trainer = language_model(workers, tmp_path)
        trainer.model.load_state_dict(state)
        loss = trainer._differentiate(*trainer._batch(step))
        return loss, [weight.grad.clone() for weight in trainer.model.parameters()]

    ((loss, alone),) = together(1, gradients)
    for shared_loss, shared in together(world, gradients):
        torch.testing.assert_close(shared_loss, loss)
        for one, other in zip(shared, alone, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@given(
    world=st.integers(2, 3),
    n_windows=st.integers(1, 7),
    size=st.integers(1, 60),
    threshold_tokens=st.integers(1, 60),
    kind=st.sampled_from([{}, {"n_layers": 3}, {"cross_layer": False, "skip_connection": True}]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_the_transcoders_gradients_add_up_to_one_workers(
    world, n_windows, size, threshold_tokens, kind, seed
):
    n_pos = 9
    torch.manual_seed(seed)
    clt = tiny_transcoder(**kind).requires_grad_(True)
    shape = (2, clt.config.n_layers, n_windows * n_pos, clt.config.d_model)
    inputs, targets = torch.randn(shape).unbind(0)
    batch = torch.randperm(n_windows * n_pos)[:size]
    whole = BatchPart.whole(len(batch), threshold_tokens)
    chosen = Activations(inputs, targets).at(batch)
    loss = set_gradients(clt, chosen, SETTINGS, 0.7, whole)
    expected = {name: weight.grad.clone() for name, weight in clt.named_parameters()}
    summed = {name: torch.zeros_like(value) for name, value in expected.items()}
    totals, fired, taken = {}, torch.zeros_like(loss.fired), 0
    by_window = [value.unflatten(1, (n_windows, n_pos)) for value in (inputs, targets)]
    for rank in range(world):
        workers = Thread(rank, world, threading.Barrier(1), {})
        own, _ = own_part(batch, n_pos, workers)
        part = BatchPart.of((batch // n_pos) % world == rank, threshold_tokens)
        held = Activations(*(value[:, rank::world].flatten(1, 2)[:, own] for value in by_window))
        share = set_gradients(clt, held, SETTINGS, 0.7, part)
        taken += len(own)
        fired |= share.fired
        for name in ("total", "reconstruction", "sparsity", "preactivation", "l0"):
            totals[name] = totals.get(name, 0.0) + float(getattr(share, name))
        for name, weight in clt.named_parameters():
            summed[name] += weight.grad
    assert taken == len(batch)
    assert torch.equal(fired, loss.fired)
    for name, value in totals.items():
        assert value == pytest.approx(float(getattr(loss, name)), rel=1e-4, abs=1e-6)
    for name, value in expected.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(summed[name], value, rtol=1e-3, atol=2e-5 * scale + 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("make", [language_model, transcoder])
def test_trainings_of_several_workers_end_with_one_workers_weights(world, make, tmp_path):
    def train(workers):
        trainer = make(workers, tmp_path / str(workers.world))
        events = [event for event in trainer.events() if not isinstance(event, Working)]
        module = getattr(trainer, "transcoder", trainer.model)
        return events, module.state_dict()

    ((alone_events, alone),) = together(1, train)
    results = together(world, train)
    for _, weights in results:
        for name, value in weights.items():
            assert torch.equal(value, results[0][1][name])  # nobody drifts from the others
            assert_nearly(value, alone[name])
    shared_events = results[0][0]
    for one, other in zip(shared_events, alone_events, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Progress | PhaseFinished):
            assert one.metrics == pytest.approx(other.metrics, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("make", [language_model, transcoder])
def test_what_one_worker_began_two_go_on_with(make, tmp_path):
    whole = make(ALONE, tmp_path / "whole")
    list(whole.events())
    cut = make(ALONE, tmp_path / "cut")
    events = cut.events()
    next(event for event in events if isinstance(event, Progress) and event.step >= 5)
    events.close()

    def go_on(workers):
        trainer = make(workers, tmp_path / "cut")
        begun = next(events := trainer.events())
        assert begun.first_step == cut.step
        list(events)
        return trainer

    for trainer in together(2, go_on):
        module = getattr(trainer, "transcoder", trainer.model)
        expected = getattr(whole, "transcoder", whole.model).state_dict()
        for name, value in module.state_dict().items():
            assert_nearly(value, expected[name])


def test_the_held_out_loss_is_the_same_however_many_measure_it(tmp_path):
    model = language_model(ALONE, tmp_path).model
    windows = windows_of().consecutive(3000)
    alone = measure_loss(model, windows)
    for loss in together(3, lambda workers: measure_loss(model, windows, workers)):
        assert loss == pytest.approx(alone, rel=1e-6)
