"""A training that is ended by force, or runs out of disk, resumes or begins anew, and ends well."""

import dataclasses
import json
import shutil

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.cli import main
from circuitscope_core.launch.background import TrainingRequest
from circuitscope_core.training import CheckpointFile, Progress, RunFolder, event_from_json
from tests.faults.injection import ENDED, FULL, Fault, faults
from tests.faults.samples import refusal
from tests.texts import tiny_config, write_parquet


def shortest_config():
    """Return settings of a training that takes a tenth of a second, and saves at every step."""
    config = tiny_config(checkpoint_seconds=1e-6)
    model, features = config.language_model_training, config.transcoder_training
    return dataclasses.replace(
        config,
        language_model_training=dataclasses.replace(model, n_tokens=600, warmup_steps=1),
        transcoder_training=dataclasses.replace(
            features, n_tokens=600, buffer_sequences=8, causal_weight=0.0
        ),
        feature_cards=dataclasses.replace(config.feature_cards, n_tokens=300),
    )


@pytest.fixture(scope="module", autouse=True)
def short_exam():
    """Ask one skill one question: how a model does in the exam is not looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("circuitscope_core.pipeline.job.EXAM_QUESTIONS", 1)
        patch.setattr("circuitscope_core.pipeline.job.SKILLS", ("acronyms",))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("text") / "pile.parquet", n_documents=40)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """An undisturbed training: its weights, and the first call of each kind for each file."""
    out = tmp_path_factory.mktemp("whole") / "mine"
    with Fault(ENDED, 10**6) as fault:
        list(cs.train(shortest_config(), source, out))
    places: dict[tuple[str, str], int] = {}
    for number, call in enumerate(fault.calls, start=1):
        name, file = call.split(" ", 1)
        random = file.startswith(".") and file.endswith(".partial")
        places.setdefault((name, file.split(".")[1] if random else file), number)
    numbers = sorted(places.values())
    assert len(numbers) > 40
    return cs.load_bundle(out).model.W_U, numbers


@pytest.mark.slow
def test_a_training_that_is_killed_at_many_a_write_ends_with_the_same_bundle(
    source, whole, tmp_path
):
    weights, numbers = whole
    for number in numbers[::3]:
        out = tmp_path / str(number) / "mine"
        with Fault(ENDED, number) as fault:
            list(cs.train(shortest_config(), source, out))
        assert fault.struck
        assert all(step >= -1 for step in RunFolder.for_bundle(out).progress()), fault.calls[-1]
        if out.exists() and not RunFolder.for_bundle(out).path.exists():  # it was over
            assert refusal(lambda out=out: list(cs.train(shortest_config(), source, out)))
        else:
            list(cs.train(shortest_config(), source, out))
        assert torch.equal(cs.load_bundle(out).model.W_U, weights), fault.calls[-1]
        assert not RunFolder.for_bundle(out).path.exists()


@pytest.mark.slow
def test_a_training_whose_disk_is_full_says_so_and_is_resumed_when_there_is_room(
    source, whole, tmp_path
):
    for number in whole[1][::5]:
        out = tmp_path / str(number) / "mine"
        with Fault(FULL, number) as fault:
            said = refusal(lambda out=out: list(cs.train(shortest_config(), source, out)))
        if not fault.struck:  # moves and removals are not counted: there are fewer calls
            break
        assert "Make room" in said, fault.calls[-1]
        assert not out.exists()
        list(cs.train(shortest_config(), source, out))
        assert torch.equal(cs.load_bundle(out).model.W_U, whole[0])


@pytest.mark.slow
def test_the_command_says_that_the_disk_is_full(source, tmp_path, capsys):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(shortest_config().to_json()))
    arguments = ["train", "--config", str(settings), "--source", source]
    with Fault(FULL, 12) as fault:
        assert main([*arguments, "--out", str(tmp_path / "mine")]) == 1
    assert fault.struck
    assert "Make room" in capsys.readouterr().err


def test_a_state_is_the_old_or_the_new(tmp_path):
    for kind in (ENDED, FULL):
        for fault in faults(kind):
            file = CheckpointFile(tmp_path / kind / str(fault.number) / "phase.safetensors")
            file.save(1, {"x": torch.ones(2)})
            with fault:
                said = refusal(lambda file=file: file.save(2, {"x": torch.zeros(2)}))
            saved = file.load()
            assert (saved.step, saved.tensors["x"].tolist()) in ((1, [1, 1]), (2, [0, 0]))
            if kind == FULL:
                assert (saved.step == 1) == ("Make room" in said) == fault.struck
                assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]
            file.save(3, {"x": torch.ones(2)})
            assert file.load().step == 3


def begun(place, step, settled=None):
    """Return a run folder whose training got to a step."""
    folder = RunFolder(place)
    folder.claim({"configuration": {"seed": 1}})
    if settled is not None:
        folder.settle("groups", settled)
    folder.checkpoint("language model").save(step, {"x": torch.full((3,), float(step))})
    folder.append(Progress("language model", step, 10, 0.0))
    return folder


def test_what_is_trained_in_a_folder_is_recorded_whole_or_not_at_all(tmp_path):
    identity = {"configuration": {"seed": 1}, "text": "abc"}
    for fault in faults(ENDED):
        folder = RunFolder(tmp_path / str(fault.number))
        with fault:
            folder.claim(identity)
            folder.settle("groups", [[0, 1]])
        folder.claim(identity)
        assert folder.settle("groups", [[0], [1]]) in ([[0, 1]], [[0], [1]])
        with pytest.raises(cs.TrainingError, match="another text"):
            folder.claim(identity | {"text": "other"})


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path):
    for fault in faults(ENDED, least=1):
        folder = begun(tmp_path / str(fault.number), 1)
        with fault:
            folder.append(Progress("language model", 2, 10, 0.0))
        folder.append(Progress("language model", 3, 10, 0.0))
        events = [event_from_json(line) for line in folder.events.read_text().splitlines()]
        steps = [event.step for event in events if event]
        assert steps in ([1, 3], [1, 2, 3])


def test_a_state_from_elsewhere_that_came_in_part_comes_again(tmp_path):
    there = begun(tmp_path / "there", 7, settled=[[0]])
    there.checkpoint("transcoder").save(2, {"y": torch.ones(4)})
    for fault in faults(ENDED, least=5):
        here = begun(tmp_path / str(fault.number), 3)
        with fault:
            here.take(there)
        assert here.checkpoint("language model").load().step in (3, 7)
        if here.progress() >= there.progress():  # nothing more is asked for
            assert here.settle("groups", [[9]]) == [[0]]
            assert here.events.read_bytes() == there.events.read_bytes()
        here.take(there)
        assert here.progress() == there.progress()


def test_a_folder_is_discarded_as_a_whole(tmp_path):
    for fault in faults(ENDED):
        folder = begun(tmp_path / str(fault.number) / ".runs" / "mine", 3)
        before = sorted(path.name for path in folder.path.iterdir())
        with fault:
            folder.discard()
        if folder.path.exists():
            assert sorted(path.name for path in folder.path.iterdir()) == before
        folder.discard()
        assert list(folder.path.parent.iterdir()) == []


def test_a_request_is_the_old_or_the_new(tmp_path):
    old = TrainingRequest(tiny_config(seed=1), ("builtin",), tmp_path, "mine")
    new = dataclasses.replace(old, config=tiny_config(seed=2))
    for fault in faults(ENDED):
        shutil.rmtree(old.folder.path, ignore_errors=True)
        old.save()
        with fault:
            new.save()
        assert TrainingRequest.load(old.folder) in (old, new)
        new.save()
        assert TrainingRequest.load(old.folder) == new
