"""A training of a model of words: its vocabulary, its losses, and resuming."""

import dataclasses

import pytest

import circuitscope_core as cs
from circuitscope_core.training import Progress
from tests.texts import tiny_config, write_parquet
from tests.unit.test_training import assert_equal_weights

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


def test_a_model_of_words_learns_its_vocabulary_from_the_text_and_resumes_with_it(source, tmp_path):
    config = tiny_config(model=dataclasses.replace(tiny_config().model, d_vocab=400))
    whole = list(cs.train(config, source, tmp_path / "whole"))
    events = cs.train(config, source, tmp_path / "cut")
    for event in events:
        if isinstance(event, Progress) and event.phase == "transcoder":
            break
    events.close()
    list(cs.train(config, source, tmp_path / "cut"))
    assert_equal_weights(tmp_path / "cut", tmp_path / "whole")
    bundle = cs.load_bundle(tmp_path / "whole")
    assert isinstance(bundle.tokenizer, cs.HuggingFaceTokenizer)
    assert 257 < bundle.tokenizer.d_vocab <= 400
    assert "models" not in (tmp_path / "whole" / "tokenizer.json").read_text()
    text = "The river runs past the mill."
    assert 2 < cs.attribute(bundle, text).n_pos < len(text)
    # bits a byte: chance is log2 of the vocabulary for each token, which has several bytes
    assert 0 < whole[-1].metrics["validation_loss"] < 3
    assert whole[-1].metrics["exam.brackets.tokens"] >= 0
