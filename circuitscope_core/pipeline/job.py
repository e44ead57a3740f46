"""The phases of a training in their order."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from circuitscope_core.bundle import Bundle, BundleMetadata, save_bundle
from circuitscope_core.config import TrainConfig
from circuitscope_core.corpus import (
    Corpus,
    DocumentSource,
    open_sources,
    read_corpus,
    read_open_documents,
    read_sample,
)
from circuitscope_core.devices import CPU
from circuitscope_core.errors import TrainingError
from circuitscope_core.evals.exam import take_exam
from circuitscope_core.feature_cards import CollectedCards, ExampleText, measure_cards
from circuitscope_core.global_weights import GlobalWeights, measure_global_weights
from circuitscope_core.pipeline.training_phases import (
    TrainingText,
    language_model_trainer,
    tell_text,
    transcoder_trainer,
)
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.skills import SKILLS, exam, whole_words
from circuitscope_core.tokenizer import (
    ByteTokenizer,
    Tokenizer,
    encode_document,
    learn_tokenizer,
)
from circuitscope_core.training import (
    ALONE,
    Event,
    PhaseFinished,
    PhaseStarted,
    Progress,
    ReplacementMetrics,
    RunFolder,
    TokenWindows,
    TrainingFinished,
    Workers,
    event_from_json,
    measure_replacement,
)

CORPUS_NEWS_SECONDS = 0.5
METRIC_TOKENS = 100_000
"""Held-out tokens on which model and replacement are compared, at most."""
EXAM_QUESTIONS = 200
"""Of each skill."""
GLOBAL_WEIGHT_TOKENS = 131_072
"""Tokens that global weights are measured on, at most."""
CARDS_SHARE = 0.85
"""Of the time of the phase "feature cards"; the rest goes into global weights."""
DEAD_SHARE = 0.1
"""Share of the corpus that frequencies are measured on, where it is smaller than asked for."""


@dataclass
class TrainingJob:
    """One training by this process, alone or as number 0 of several."""

    config: TrainConfig
    source: str | Path | DocumentSource | Sequence[str | Path | DocumentSource]
    out: Path
    given_tokenizer: Tokenizer | None
    """None: bytes, or a vocabulary that is learned from the text, by the model's size of it."""
    folder: RunFolder
    command: str
    workers: Workers = ALONE
    device: torch.device = CPU

    def events(self) -> Generator[Event, None, None]:
        """Run all phases."""
        started = time.perf_counter()
        self.metrics: dict[str, float] = {}
        yield from self._timed(self._read_corpus())
        yield from self._timed(self._train_language_model())
        yield from self._timed(self._train_transcoder())
        yield from self._timed(self._measure())
        yield from self._timed(self._take_exam())
        yield from self._timed(self._collect_cards())
        path = self._save()
        yield TrainingFinished(str(path), time.perf_counter() - started, self.metrics)

    def _timed(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, PhaseFinished):
                self.metrics |= event.metrics
            yield event

    def _read_corpus(self) -> Iterator[Event]:
        yield PhaseStarted("corpus", 1)
        started = time.perf_counter()
        sources = open_sources(self.source, self.config.corpus)
        yield from self._find_tokenizer(sources)
        shown = started
        for item in read_corpus(sources, self.config.corpus, self.tokenizer, seed=self.config.seed):
            if isinstance(item, Corpus):
                self.corpus = corpus = item
            elif time.perf_counter() - shown > CORPUS_NEWS_SECONDS:
                shown = time.perf_counter()
                yield Progress("corpus", 0, 1, 0.0, {"tokens": float(item)})
        self.folder.claim({"configuration": self.config.to_json(), "text": corpus.fingerprint})
        self.text = TrainingText.of(corpus, self.tokenizer, self.config.model.n_ctx)
        tell_text(self.text, self.workers)
        counts = {
            "train_tokens": float(len(corpus.train_tokens)),
            "held_out_tokens": float(len(corpus.held_out_tokens)),
        }
        message = corpus.report.describe()
        yield PhaseFinished("corpus", time.perf_counter() - started, counts, message)

    def _find_tokenizer(self, sources: Sequence[DocumentSource]) -> Iterator[Event]:
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
        self.model = trainer.model.requires_grad_(False)

    def _train_transcoder(self) -> Iterator[Event]:
        checkpoint = self.folder.checkpoint("transcoder")
        trainer = transcoder_trainer(self.config, self.text, self.model, checkpoint, self.workers)
        yield from trainer.events()
        self.transcoder = trainer.folded().requires_grad_(False)

    def _measure(self) -> Iterator[Event]:
        yield PhaseStarted("metrics", 100)
        started = time.perf_counter()
        windows = self.text.held_out.consecutive(METRIC_TOKENS).to(self.device)
        metrics: dict[str, float] = {}
        shown = 0
        for item in measure_replacement(self.model, self.transcoder, windows):
            if isinstance(item, ReplacementMetrics):
                metrics = item.to_json()
            elif (percent := int(100 * item)) > shown:
                shown = percent
                yield Progress("metrics", percent, 100, 0.0)
        yield PhaseFinished("metrics", time.perf_counter() - started, metrics)

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

    def _collect_cards(self) -> Iterator[Event]:
        yield PhaseStarted("feature cards", 100)
        started = time.perf_counter()
        windows, n_held_out = self._windows_for_cards()
        text = self._example_text(windows, n_held_out)
        replacement = ReplacementModel(self.model, self.transcoder, self.tokenizer)
        settings = self.config.feature_cards
        shown, collected = 0, None
        cards = measure_cards(replacement, windows, text, settings, self.config.seed)
        sample = windows[: -(-GLOBAL_WEIGHT_TOKENS // windows.shape[1])]
        partners = measure_global_weights(replacement, sample)
        work = chain(
            (item * CARDS_SHARE if isinstance(item, float) else item for item in cards),
            (
                CARDS_SHARE + item * (1 - CARDS_SHARE) if isinstance(item, float) else item
                for item in partners
            ),
        )
        for item in work:
            if isinstance(item, CollectedCards):
                collected = item
            elif isinstance(item, GlobalWeights):
                self.global_weights = item
            elif (percent := int(100 * item)) > shown:
                shown = percent
                yield Progress("feature cards", percent, 100, 0.0)
        assert collected is not None
        self.cards = collected.cards
        metrics = {"dead": collected.dead, "dead_tokens": float(collected.n_tokens)}
        metrics["dead_held_out_tokens"] = float(n_held_out * (windows.shape[1] - 1))
        yield PhaseFinished("feature cards", time.perf_counter() - started, metrics)

    def _windows_for_cards(self) -> tuple[Tensor, int]:
        """Return windows of held-out text, filled up with training text, and how many are held out.

        The held-out text alone is too little to tell a dead feature from a rare one.
        """
        whole = len(self.corpus.train_tokens) + len(self.corpus.held_out_tokens)
        enough = max(int(DEAD_SHARE * whole), len(self.corpus.held_out_tokens))
        n_tokens = min(self.config.feature_cards.n_tokens, enough)
        held_out = self.text.held_out.consecutive(n_tokens)[:, :-1]
        missing = n_tokens - held_out.numel()
        if missing < self.config.model.n_ctx:
            return held_out, len(held_out)
        more = self.text.train.consecutive(missing)[:, :-1]
        return torch.cat([held_out, more]), len(held_out)

    def _example_text(self, windows: Tensor, n_held_out: int) -> ExampleText | None:
        policy = self.config.feature_cards.excerpts
        if policy == "none":
            return None
        if policy == "open":
            return open_example_text(self.config, self.tokenizer)
        source_ids = np.ones(windows.shape, dtype=np.uint8)
        source_ids[:n_held_out] = 0
        return ExampleText(windows, source_ids, ("held-out text", "training text"))

    def _save(self) -> Path:
        report = self.corpus.report
        log = self.folder.events.read_text(encoding="utf-8")
        metadata = BundleMetadata(
            name=self.out.name,
            training=self.config.to_json(),
            corpus={
                "fingerprint": self.corpus.fingerprint,
                "sources": list(self.corpus.source_names),
                "report": report.describe(),
            },
            metrics=self.metrics,
            command=self.command,
            seconds=phase_seconds(log),
        )
        bundle = Bundle(
            self.model,
            self.transcoder,
            self.tokenizer,
            self.cards,
            metadata,
            training_log=log,
            global_weights=self.global_weights,
        )
        return save_bundle(bundle, self.out)


def phase_seconds(log: str) -> dict[str, float]:
    """Return each phase's wall time, added up over all runs that finished it.

    The part of a phase that a cancelled run did is not in it.
    """
    seconds: dict[str, float] = {}
    for event in map(event_from_json, log.splitlines()):
        if isinstance(event, PhaseFinished):
            seconds[event.phase] = seconds.get(event.phase, 0.0) + event.seconds
    return seconds


def open_example_text(config: TrainConfig, tokenizer: Tokenizer) -> ExampleText:
    """Return windows of text that may be passed on, each token with its source."""
    n_ctx, separator = config.model.n_ctx, tokenizer.separator_id
    sources: dict[str, int] = {}
    pieces, origins, n_tokens = [], [], 0
    for document in read_open_documents(config.corpus, seed=config.seed):
        ids = encode_document(tokenizer, document.text)
        ids = np.concatenate([np.array([separator], dtype=ids.dtype), ids])
        number = sources.setdefault(document.source, len(sources))
        pieces.append(ids)
        origins.append(np.full(len(ids), number, dtype=np.uint8))
        n_tokens += len(ids)
        if n_tokens >= config.feature_cards.n_tokens:
            break
    stream, origin = np.concatenate(pieces), np.concatenate(origins)
    windows = TokenWindows.of(stream, separator, n_ctx).consecutive(n_tokens)[:, :-1]
    shape = tuple(windows.shape)
    return ExampleText(windows, origin[: windows.numel()].reshape(shape), tuple(sources))
