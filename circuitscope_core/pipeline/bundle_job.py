"""The phases that end in a bundle, whatever is trained: text, figures, feature cards, saving."""

import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitscope_core.bundle import Bundle, BundleMetadata, save_bundle
from circuitscope_core.config import (
    CorpusConfig,
    TrainConfig,
    TranscoderTrainConfig,
)
from circuitscope_core.corpus import (
    Corpus,
    DocumentSource,
    open_sources,
    read_corpus,
    read_open_documents,
)
from circuitscope_core.feature_cards import CollectedCards, ExampleText, measure_cards
from circuitscope_core.feature_cards.collect import CardPlan
from circuitscope_core.feature_cards.selection import Selection
from circuitscope_core.global_weights import GlobalWeights, measure_global_weights
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.pipeline.training_phases import TrainingText, tell_text
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import Tokenizer, encode_document
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
    Working,
    event_from_json,
    measure_replacement,
)
from circuitscope_core.transcoder import CrossLayerTranscoder

CORPUS_NEWS_SECONDS = 0.5
GLOBAL_WEIGHT_TOKENS = 131_072
"""Tokens that global weights are measured on, at most."""
MEASURE_SHARE = 0.7
"""The share of this work in the phase "metrics", where scores of graphs are measured after it."""
CARDS_SHARE = 0.85
"""The share of cards in the phase "feature cards"; the rest goes into global weights."""
DEAD_SHARE = 0.1
"""Share of the corpus that frequencies are measured on, where it is smaller than asked for."""


@dataclass(kw_only=True)
class BundleJob(ABC):
    """One training by this process, alone or as number 0 of several, that ends in a bundle."""

    config: TrainConfig | TranscoderTrainConfig
    source: str | Path | DocumentSource | Sequence[str | Path | DocumentSource]
    out: Path
    folder: RunFolder
    command: str
    workers: Workers = ALONE
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures of the phases that are done."""
    model: LanguageModel = field(init=False)
    tokenizer: Tokenizer = field(init=False)
    transcoder: CrossLayerTranscoder = field(init=False)
    corpus: Corpus = field(init=False)
    text: TrainingText = field(init=False)
    global_weights: GlobalWeights | None = None

    @abstractmethod
    def phases(self) -> Sequence[Iterator[Event]]:
        """Return all phases in their order; none has begun."""

    @property
    @abstractmethod
    def n_ctx(self) -> int:
        """Tokens of a window."""

    @property
    @abstractmethod
    def text_config(self) -> CorpusConfig:
        """How the text is read."""

    @property
    @abstractmethod
    def metric_tokens(self) -> int:
        """Held-out tokens on which model and replacement are compared, at most."""

    @abstractmethod
    def find_tokenizer(self, sources: Sequence[DocumentSource]) -> Iterator[Event]:
        """Set the tokenizer, which may be learned from the text."""

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the training: another one cannot go on with it."""
        return {"configuration": self.config.to_json(), "text": self.corpus.fingerprint}

    def events(self) -> Generator[Event, None, None]:
        """Run all phases."""
        started = time.perf_counter()
        for phase in self.phases():
            yield from self._timed(phase)
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
        sources = open_sources(self.source, self.text_config)
        yield from self.find_tokenizer(sources)
        shown = started
        for item in read_corpus(sources, self.text_config, self.tokenizer, seed=self.config.seed):
            if isinstance(item, Corpus):
                self.corpus = corpus = item
            elif time.perf_counter() - shown > CORPUS_NEWS_SECONDS:
                shown = time.perf_counter()
                yield Progress("corpus", 0, 1, 0.0, {"tokens": float(item)})
            else:
                yield Working()
        self.check_text()
        self.folder.claim(self.identity())
        self.text = TrainingText.of(corpus, self.tokenizer, self.n_ctx)
        tell_text(self.text, self.workers)
        counts = {
            "train_tokens": float(len(corpus.train_tokens)),
            "held_out_tokens": float(len(corpus.held_out_tokens)),
        }
        message = corpus.report.describe()
        yield PhaseFinished("corpus", time.perf_counter() - started, counts, message)

    @abstractmethod
    def check_text(self) -> None:
        """Refuse text that is too short for what is to be trained."""

    def _measure(self) -> Iterator[Event]:
        yield PhaseStarted("metrics", 100)
        started = time.perf_counter()
        device = self.model.tokens([0]).device
        windows = self.text.held_out.consecutive(self.metric_tokens).to(device)
        metrics: dict[str, float] = {}
        shown = 0
        for item in measure_replacement(self.model, self.transcoder, windows):
            if isinstance(item, ReplacementMetrics):
                metrics = item.to_json()
            elif (percent := int(100 * item * MEASURE_SHARE)) > shown:
                shown = percent
                yield Progress("metrics", percent, 100, 0.0)
            else:
                yield Working()
        for share in self.measure_more(metrics):
            if (percent := int(100 * (MEASURE_SHARE + share * (1 - MEASURE_SHARE)))) > shown:
                shown = percent
                yield Progress("metrics", percent, 100, 0.0)
        yield PhaseFinished("metrics", time.perf_counter() - started, metrics)

    def measure_more(self, metrics: dict[str, float]) -> Iterator[float]:
        """Add figures of one's own; yields the share that is done."""
        del metrics
        yield 1.0

    def _collect_cards(self) -> Iterator[Event]:
        yield PhaseStarted("feature cards", 100)
        started = time.perf_counter()
        windows, n_held_out = self._windows_for_cards()
        text = self._example_text(windows, n_held_out)
        replacement = ReplacementModel(self.model, self.transcoder, self.tokenizer)
        settings = self.config.feature_cards
        shown, collected = 0, None
        chosen = self.features_with_cards()
        plan = CardPlan(chosen)
        cards = measure_cards(replacement, windows, text, settings, self.config.seed, plan)
        sample = windows[: -(-GLOBAL_WEIGHT_TOKENS // windows.shape[1])]
        partners: Iterator[float | GlobalWeights] = iter(())
        if self.transcoder.config.activation == "jump_relu":  # a top-k has no such weights
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
            else:
                yield Working()
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
        if missing < self.n_ctx:
            return held_out, len(held_out)
        more = self.text.train.consecutive(missing)[:, :-1]
        return torch.cat([held_out, more]), len(held_out)

    def _example_text(self, windows: Tensor, n_held_out: int) -> ExampleText | None:
        policy = self.config.feature_cards.excerpts
        if policy == "none":
            return None
        if policy == "open":
            return open_example_text(self.config, self.tokenizer, self.n_ctx)
        source_ids = np.ones(windows.shape, dtype=np.uint8)
        source_ids[:n_held_out] = 0
        return ExampleText(windows, source_ids, ("held-out text", "training text"))

    def features_with_cards(self) -> Selection | None:
        """Return the features that get cards; None for all."""
        return None

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


def open_example_text(
    config: TrainConfig | TranscoderTrainConfig, tokenizer: Tokenizer, n_ctx: int
) -> ExampleText:
    """Return windows of text that may be passed on, each token with its source."""
    separator = tokenizer.separator_id
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
