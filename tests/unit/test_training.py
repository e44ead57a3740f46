"""Training: events, resuming, and what goes wrong. Real trainings, of tiny models."""

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.training import (
    PHASES,
    CheckpointFile,
    Pace,
    PhaseFinished,
    PhaseStarted,
    Progress,
    RunFolder,
    TokenWindows,
    TrainingCancelled,
    TrainingFinished,
    TranscoderTrainer,
    event_from_json,
    event_to_json,
)
from circuitscope_core.training.batches import step_rng
from circuitscope_core.training.language_model import next_token_loss
from circuitscope_core.training.optimizers import Muon, constant_then_decay, orthogonalize
from circuitscope_core.transcoder import CrossLayerTranscoder
from tests.samples import tiny_model
from tests.texts import tiny_config, write_parquet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("text") / "pile.parquet")


@pytest.fixture(scope="module", autouse=True)
def short_exam():
    """Ask every skill a few questions: how a model does in the exam is not looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("circuitscope_core.pipeline.job.EXAM_QUESTIONS", 20)
        yield


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """An undisturbed training, which several tests look at: its bundle and its events."""
    out = tmp_path_factory.mktemp("whole") / "models" / "mine"
    return out, list(cs.train(tiny_config(), source, out))


def assert_equal_weights(out, other):
    """Compare the weights of two bundles to the last bit."""
    one, two = cs.load_bundle(out), cs.load_bundle(other)
    for name in ("model", "transcoder"):
        expected = getattr(two, name).state_dict()
        for key, value in getattr(one, name).state_dict().items():
            torch.testing.assert_close(value, expected[key], rtol=0, atol=0)


def test_a_training_goes_through_its_phases_and_saves_a_bundle_that_loads(whole):
    out, events = whole
    begun = [event.phase for event in events if isinstance(event, PhaseStarted)]
    ended = [event.phase for event in events if isinstance(event, PhaseFinished)]
    assert begun == ended == list(PHASES)
    assert isinstance(events[-1], TrainingFinished)
    bundle = cs.load_bundle(out)
    assert bundle.metadata.metrics == events[-1].metrics
    wanted = {"l0", "normalized_mse", "dead", "replacement_agreement", "kl_bits", "ce_recovered"}
    assert wanted <= set(bundle.metadata.metrics)
    logged = [event_from_json(line) for line in bundle.training_log.splitlines()]
    assert logged == events[:-1]
    assert not RunFolder.for_bundle(out).path.exists()


def test_training_lowers_both_losses(whole):
    def losses(phase, name):
        return [
            event.metrics[name]
            for event in whole[1]
            if isinstance(event, Progress) and event.phase == phase and name in event.metrics
        ]

    model = losses("language model", "validation_loss")
    assert model[-1] < 0.8 * model[0]
    errors = losses("transcoder", "normalized_mse")
    assert errors[-1] < 0.7 * errors[0]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(source, whole, tmp_path):
    for name, seed in (("b", tiny_config().seed), ("c", 4)):
        list(cs.train(tiny_config(seed=seed), source, tmp_path / name))
    a, b, c = map(cs.load_bundle, (whole[0], tmp_path / "b", tmp_path / "c"))
    assert torch.equal(a.model.W_U, b.model.W_U)
    assert torch.equal(a.transcoder.W_enc, b.transcoder.W_enc)
    assert not torch.equal(a.model.W_U, c.model.W_U)


@pytest.mark.parametrize("phase", ["language model", "transcoder"])
def test_a_cancelled_training_resumes_to_the_same_weights(source, whole, tmp_path, phase):
    events = cs.train(tiny_config(), source, tmp_path / "cut")
    for event in events:
        if isinstance(event, Progress) and event.phase == phase and event.step >= event.n_steps / 2:
            break
    events.close()
    folder = RunFolder.for_bundle(tmp_path / "cut")
    last = event_from_json(folder.events.read_text().splitlines()[-1])
    assert isinstance(last, TrainingCancelled)
    assert not (tmp_path / "cut").exists()
    resumed = list(cs.train(tiny_config(), source, tmp_path / "cut"))
    start = next(e for e in resumed if isinstance(e, PhaseStarted) and e.phase == phase)
    assert 0 < start.first_step < start.n_steps
    assert_equal_weights(tmp_path / "cut", whole[0])


def test_a_run_folder_of_other_settings_is_not_resumed_but_can_be_discarded(source, tmp_path):
    events = cs.train(tiny_config(), source, tmp_path / "mine")
    next(e for e in events if isinstance(e, Progress))
    events.close()
    other = tiny_config(seed=99)
    with pytest.raises(cs.TrainingError, match="begun with another configuration"):
        list(cs.train(other, source, tmp_path / "mine"))
    events = cs.train(other, source, tmp_path / "mine", restart=True)
    assert next(e for e in events if isinstance(e, Progress))
    events.close()


def test_a_damaged_checkpoint_says_what_to_do(source, tmp_path):
    events = cs.train(tiny_config(), source, tmp_path / "mine")
    next(e for e in events if isinstance(e, Progress))
    events.close()
    folder = RunFolder.for_bundle(tmp_path / "mine")
    folder.checkpoint("language model").path.write_bytes(b"junk")
    with pytest.raises(cs.TrainingError, match=r"cannot be read .*restart the training"):
        list(cs.train(tiny_config(), source, tmp_path / "mine"))


def test_too_little_text_is_refused_before_any_training(tmp_path):
    source = write_parquet(tmp_path / "short.parquet", ["one", "two"])
    settings = dataclasses.replace(tiny_config().corpus, skill_share=0.0)
    config = dataclasses.replace(tiny_config(), corpus=settings)
    with pytest.raises(cs.TrainingError, match=r"text has \d+ tokens; one window needs 33"):
        list(cs.train(config, source, tmp_path / "mine"))


def test_a_diverging_training_stops_with_an_error(source, tmp_path):
    wild = dataclasses.replace(
        tiny_config().language_model_training, learning_rate=1e30, muon_learning_rate=1e30
    )
    config = dataclasses.replace(tiny_config(), language_model_training=wild)
    with pytest.raises(cs.TrainingError, match=r"loss is nan at step \d+; lower the learning rate"):
        list(cs.train(config, source, tmp_path / "mine"))


def test_tokens_that_do_not_count_are_read_and_not_learned():
    model = tiny_model(d_vocab=11)
    windows = torch.randint(0, 11, (3, 9), generator=torch.Generator().manual_seed(0))
    counted = torch.zeros(3, 8, dtype=torch.bool)
    counted[0, 2] = counted[1, 5] = counted[1, 7] = True
    log_p = model(windows[:, :-1]).log_softmax(dim=-1)
    places = [(0, 2), (1, 5), (1, 7)]
    expected = -sum(log_p[row, at, windows[row, at + 1]] for row, at in places) / 3
    torch.testing.assert_close(next_token_loss(model, windows, counted), expected)
    whole = next_token_loss(model, windows, torch.ones(3, 8, dtype=torch.bool))
    torch.testing.assert_close(next_token_loss(model, windows), whole)
    assert float(next_token_loss(model, windows, torch.zeros(3, 8, dtype=torch.bool))) == 0


def test_windows_and_what_counts_in_them_are_drawn_together():
    tokens = np.arange(300, 1300, dtype=np.uint16)
    counted = np.arange(1000) % 3 == 0
    windows = TokenWindows.of(tokens, 256, 16, counted=counted)
    drawn, counts = windows.sample_counted(40, step_rng(0, 1, 5))
    assert torch.equal(drawn, windows.sample(40, step_rng(0, 1, 5)))
    place = {tuple(tokens[at : at + 16]): at for at in range(985)}
    for row, count in zip(drawn.tolist(), counts, strict=True):
        at = place[tuple(row[1:])]
        assert np.array_equal(count.numpy(), counted[at : at + 16])
    every = TokenWindows.of(tokens, 256, 16).sample_counted(2, step_rng(0, 1, 5))[1]
    assert every.all()


@pytest.mark.parametrize("policy", ["all", "open", "none"])
def test_excerpts_travel_only_as_the_policy_allows(tmp_path, policy):
    secret = "zqxj zqxj private words " * 20
    source = write_parquet(tmp_path / "secret.parquet", [secret] * 200)
    cards = dataclasses.replace(tiny_config().feature_cards, excerpts=policy)
    config = dataclasses.replace(tiny_config(), feature_cards=cards)
    list(cs.train(config, source, tmp_path / "mine"))
    bundle = cs.load_bundle(tmp_path / "mine")
    quoted = [example for card in bundle.feature_cards for example in card.examples]
    texts = "".join(bundle.tokenizer.decode(list(example.token_ids)) for example in quoted)
    assert bool(quoted) == (policy != "none")
    assert ("zqxj" in texts) == (policy == "all")
    labels = "".join(card.label for card in bundle.feature_cards)
    assert "zqxj" not in labels or policy == "all"


def test_every_event_survives_its_json_line():
    events = [
        PhaseStarted("transcoder", 7, 3),
        Progress("language model", 1, 2, 3.5, {"loss": 1.25}),
        TrainingFinished("models/x", 1.5, {"l0": 2.0}),
    ]
    assert [event_from_json(event_to_json(event)) for event in events] == events
    for broken in ("", "{", "[]", '{"event": "Nope"}', json.dumps({"event": "Progress"})):
        assert event_from_json(broken) is None


def test_windows_open_with_the_separator_and_follow_the_stream():
    tokens = np.arange(1000).astype(np.uint16) % 200
    tokens[::50] = 256
    windows = TokenWindows.of(tokens, 256, 16)
    drawn = windows.sample(64, step_rng(0, 1, 0))
    assert drawn.shape == (64, 17)
    assert (drawn[:, 0] == 256).all()
    stream = tokens.tolist()
    for row in drawn[:, 1:].tolist():
        assert any(stream[at : at + 16] == row for at in range(1000 - 15))
    assert torch.equal(drawn, windows.sample(64, step_rng(0, 1, 0)))
    assert not torch.equal(drawn, windows.sample(64, step_rng(0, 1, 1)))


def test_orthogonalised_matrices_have_singular_values_near_1():
    matrices = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_a_tall_matrix_moves_as_its_transpose_does():
    gradient = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    tall, wide = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((20, 8), (8, 20)))
    tall.grad, wide.grad = gradient, gradient.mT.clone()
    Muon([tall, wide], lr=0.1).step()
    # widening its input, the second one may move further
    torch.testing.assert_close(tall.detach().mT * (20 / 8) ** 0.5, wide.detach())


def test_the_rate_is_constant_then_falls_to_0():
    factors = [constant_then_decay(step, 100, 0.2) for step in (0, 79, 80, 90, 100)]
    assert factors == pytest.approx([1, 1, 1, 0.5, 0])


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    file = CheckpointFile(tmp_path / "phase.safetensors")
    file.save(1, {"x": torch.ones(2)}, note="a")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(cs.TrainingError, match=r"cannot be written \(disk full\). Make room"):
        file.save(2, {"x": torch.zeros(2)})
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name]
    saved = file.load()
    assert (saved.step, saved.tensors["x"].tolist(), saved.extra) == (1, [1, 1], {"note": "a"})


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    file = CheckpointFile(tmp_path / "phase.safetensors")
    file.save(1, {"x": torch.ones(2)})
    with pytest.raises(cs.TrainingError, match="x is not finite at step 2"):
        file.save(2, {"x": torch.tensor([1.0, float("nan")])})
    saved = file.load()
    assert saved.step == 1


def test_a_second_training_of_the_same_name_is_refused(source, tmp_path):
    first = cs.train(tiny_config(), source, tmp_path / "mine")
    next(first)
    for restart in (False, True):
        second = cs.train(tiny_config(), source, tmp_path / "mine", restart=restart)
        with pytest.raises(cs.TrainingError, match="'mine' is being trained already"):
            next(second)
    other = cs.train(tiny_config(), source, tmp_path / "yours")
    next(other)
    other.close()
    first.close()
    again = cs.train(tiny_config(), source, tmp_path / "mine")
    next(again)
    again.close()


def test_a_model_is_replaced_only_on_purpose(source, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "bundle.json").write_text("{}")
    for restart in (False, True):
        with pytest.raises(cs.TrainingError, match=r"'mine' .* already.*'mine-2'"):
            next(cs.train(tiny_config(), source, out, restart=restart))
    assert not (tmp_path / ".runs").exists()
    events = cs.train(tiny_config(), source, out, overwrite=True)
    while not RunFolder.for_bundle(out).is_begun:
        next(events)
    events.close()
    assert (out / "bundle.json").read_text() == "{}"
    list(cs.train(tiny_config(), source, out))  # what was begun goes on
    assert cs.load_bundle(out).metadata.name == "mine"


def test_a_folder_that_holds_no_model_is_refused_before_the_training(source, tmp_path):
    (tmp_path / "mine").mkdir()
    list_of_mine = tmp_path / "mine" / "thesis.txt"
    list_of_mine.write_text("dear to me")
    with pytest.raises(cs.TrainingError, match="is no model"):
        next(cs.train(tiny_config(), source, tmp_path / "mine", overwrite=True))
    assert list_of_mine.read_text() == "dear to me"


KILLED = """
import sys
import circuitscope_core as cs
from tests.texts import tiny_config
for event in cs.train(tiny_config(checkpoint_seconds=0.01), sys.argv[1], sys.argv[2]):
    print(type(event).__name__, getattr(event, "phase", ""), flush=True)
"""


@pytest.mark.parametrize("phase", ["language model", "transcoder"])
def test_a_killed_training_resumes_to_the_same_weights(source, whole, tmp_path, phase):
    config = tiny_config(checkpoint_seconds=0.01)
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(source), str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.split(maxsplit=1) == ["Checkpoint", f"{phase}\n"]:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    resumed = [
        e.first_step for e in cs.train(config, source, killed) if isinstance(e, PhaseStarted)
    ]
    assert max(resumed) > 0
    assert_equal_weights(killed, whole[0])  # how often it saves changes nothing either


@pytest.mark.parametrize("writes", [False, True])
def test_muon_treats_the_heads_of_a_weight_as_one_matrix(writes):
    shape = (2, 4, 8) if writes else (2, 8, 4)
    weight = torch.nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    gradient = weight.grad.clone()
    Muon([{"params": [weight], "writes": writes}], lr=0.1).step()
    whole = gradient.reshape(8, 8) if writes else torch.cat(list(gradient), dim=1)
    # one direction has the same polar factor at any scale
    expected = -0.1 * orthogonalize(whole[None])[0]
    moved = weight.detach().reshape(8, 8) if writes else torch.cat(list(weight.detach()), dim=1)
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-5)


def test_weight_decay_takes_a_share_of_the_weight_beside_the_step():
    moved = {}
    for decay in (0.0, 0.5):
        weight = torch.nn.Parameter(torch.ones(4, 4))
        weight.grad = torch.eye(4)
        Muon([weight], lr=0.1, weight_decay=decay).step()
        moved[decay] = weight.detach()
    torch.testing.assert_close(moved[0.5], moved[0.0] - 0.1 * 0.5 * torch.ones(4, 4))


def test_each_harvested_activation_is_used_in_every_pass_and_never_in_the_same_order(tmp_path):
    model = tiny_model().requires_grad_(False)
    n_ctx = model.config.n_ctx
    tokens = np.random.default_rng(0).integers(0, 256, 40 * n_ctx).astype(np.uint16)
    batch = 2 * (n_ctx - 1)
    settings = cs.TranscoderTraining(
        n_tokens=8 * batch, batch_size=batch, buffer_sequences=4, buffer_passes=2
    )
    sizes = cs.TranscoderConfig(
        n_layers=model.config.n_layers, d_model=model.config.d_model, d_transcoder=16
    )
    trainer = TranscoderTrainer(
        model=model,
        transcoder=CrossLayerTranscoder(sizes),
        train=TokenWindows.of(tokens, 256, n_ctx),
        settings=settings,
        seed=0,
        pace=Pace(1, 1e9),
        checkpoint=CheckpointFile(tmp_path / "state.safetensors"),
    )
    seen = []

    def record(batch, part):
        seen.append(batch.inputs[0].clone())
        return TranscoderTrainer.train_step(trainer, batch, part)

    trainer.train_step = record
    list(trainer.events())
    # two steps make a pass, two passes a buffer
    passes = [torch.cat(seen[start : start + 2]) for start in range(0, 8, 2)]
    rows = [sorted(map(tuple, part.tolist())) for part in passes]
    assert rows[0] == rows[1]
    assert rows[2] == rows[3]
    assert rows[0] != rows[2]
    assert not torch.equal(passes[0], passes[1])
