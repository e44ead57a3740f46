"""The phases of a training of a language model and its transcoder, in their order."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from circuitscope_core.config import CorpusConfig, TrainConfig
from circuitscope_core.corpus import DocumentSource, read_sample
from circuitscope_core.devices import CPU
from circuitscope_core.errors import TrainingError
from circuitscope_core.evals.exam import take_exam
from circuitscope_core.pipeline.bundle_job import BundleJob
from circuitscope_core.pipeline.training_phases import (
    language_model_trainer,
    transcoder_trainer,
)
from circuitscope_core.skills import SKILLS, exam, whole_words
from circuitscope_core.tokenizer import ByteTokenizer, Tokenizer, learn_tokenizer
from circuitscope_core.training import Event, PhaseFinished, PhaseStarted, Progress

METRIC_TOKENS = 100_000
"""Held-out tokens on which model and replacement are compared, at most."""
EXAM_QUESTIONS = 200
"""Questions of each skill."""


@dataclass(kw_only=True)
class TrainingJob(BundleJob):
    """The training of a transformer and its transcoder."""

    config: TrainConfig
    given_tokenizer: Tokenizer | None
    """None: bytes, or a vocabulary that is learned from the text, by the model's size of it."""
    device: torch.device = CPU

    def phases(self) -> Sequence[Iterator[Event]]:
        """Return all phases in their order; none has begun."""
        return (
            self._read_corpus(),
            self._train_language_model(),
            self._train_transcoder(),
            self._measure(),
            self._take_exam(),
            self._collect_cards(),
        )

    @property
    def n_ctx(self) -> int:
        """Tokens of a window."""
        return self.config.model.n_ctx

    @property
    def text_config(self) -> CorpusConfig:
        """How the text is read."""
        return self.config.corpus

    @property
    def metric_tokens(self) -> int:
        """Held-out tokens on which model and replacement are compared, at most."""
        return METRIC_TOKENS

    def check_text(self) -> None:
        """Accept any text that is a window long: it is gone through again where it is short."""

    def find_tokenizer(self, sources: Sequence[DocumentSource]) -> Iterator[Event]:
        """Set the tokenizer: the one given, bytes, or one that is learned from the text."""
        d_vocab = self.config.model.d_vocab
        if self.given_tokenizer is not None:
            self.tokenizer = self.given_tokenizer
        elif d_vocab == ByteTokenizer.d_vocab:
            self.tokenizer = ByteTokenizer()
        elif d_vocab < ByteTokenizer.d_vocab:
            raise TrainingError(
                f"model.d_vocab is {d_vocab}; a model needs {ByteTokenizer.d_vocab} tokens to read "
                "bytes, and more to read words."
            )
        else:
            for item in read_sample(sources, self.config.corpus, seed=self.config.seed):
                if isinstance(item, list):
                    self.tokenizer = learn_tokenizer(item, d_vocab, whole_words())
                else:
                    yield Progress("corpus", 0, 1, 0.0, {"sample_characters": float(item)})
            return
        if self.tokenizer.d_vocab != d_vocab:
            raise TrainingError(
                f"The tokenizer has {self.tokenizer.d_vocab} tokens and model.d_vocab is "
                f"{d_vocab}; set d_vocab to the tokenizer's size."
            )

    def _train_language_model(self) -> Iterator[Event]:
        checkpoint = self.folder.checkpoint("language model")
        parts = (self.config, self.text, checkpoint, self.workers)
        trainer = language_model_trainer(*parts, self.device)
        yield from trainer.events()
        self.trained = trainer.model.requires_grad_(False)
        self.model = self.trained

    def _train_transcoder(self) -> Iterator[Event]:
        checkpoint = self.folder.checkpoint("transcoder")
        trainer = transcoder_trainer(self.config, self.text, self.trained, checkpoint, self.workers)
        yield from trainer.events()
        self.transcoder = trainer.folded().requires_grad_(False)

    def _take_exam(self) -> Iterator[Event]:
        yield PhaseStarted("exam", len(SKILLS))
        started = time.perf_counter()
        marks: dict[str, float] = {}
        for number, skill in enumerate(SKILLS, start=1):
            questions = exam(skill, EXAM_QUESTIONS)
            result = take_exam(self.model, self.tokenizer, questions)
            if result is not None:
                marks[f"exam.{skill}.whole"] = result.whole
                marks[f"exam.{skill}.tokens"] = result.tokens
            yield Progress("exam", number, len(SKILLS), 0.0)
        yield PhaseFinished("exam", time.perf_counter() - started, marks)
