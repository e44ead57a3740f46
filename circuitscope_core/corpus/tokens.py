"""Turns documents into two streams of token ids: one to train on, one held out."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.config import CorpusConfig
from circuitscope_core.corpus.builtin import BuiltinSource
from circuitscope_core.corpus.documents import (
    Document,
    DocumentSource,
    ReadCounter,
    ReadReport,
    shorten,
)
from circuitscope_core.corpus.parquet import ParquetSource
from circuitscope_core.corpus.skill_text import SkillWriter
from circuitscope_core.corpus.stage import StageSource
from circuitscope_core.corpus.streams import DOCUMENTS_BETWEEN_NEWS, TokenIds, TokenStream
from circuitscope_core.errors import CorpusError
from circuitscope_core.stages import is_stage
from circuitscope_core.tokenizer import Tokenizer, documents_at_once, encode_documents

SourceLike: TypeAlias = str | Path | DocumentSource
BUILTIN = "builtin"


@dataclass(frozen=True)
class Corpus:
    """Token ids ready for training; each document is preceded by the separator."""

    train_tokens: TokenIds
    train_counted: NDArray[np.bool_]
    """Which training tokens count in the model's loss: all but what the skill generators draw at
    random, from which nothing can be learned."""
    held_out_tokens: TokenIds
    report: ReadReport
    fingerprint: str
    """SHA-256 of what is trained on, held out and counted, and of the settings that made it."""
    n_train_documents: int
    """Documents that were read and are trained on; those of the skill generators not counted."""
    n_held_out_documents: int
    source_names: tuple[str, ...]


def open_sources(
    source: SourceLike | Sequence[SourceLike], config: CorpusConfig
) -> tuple[DocumentSource, ...]:
    """Return the sources that the user named.

    Args:
        source: ``"builtin"``, a place of Parquet files (see ``ParquetSource``, and ``StageSource``
            where it begins with ``@``), a ``TextSource`` or another source, or several of these.
        config: Names the text column and the longest document.

    Raises:
        CorpusError: If no source is named, or something that is none.
    """
    several = isinstance(source, Sequence) and not isinstance(source, str)
    items = list(source) if several else [source]  # type: ignore[arg-type]
    if not items:
        raise CorpusError('No text is named; give a Parquet file, a folder or "builtin".')
    return tuple(_open_source(item, config) for item in items)


def _open_source(item: object, config: CorpusConfig) -> DocumentSource:
    if item == BUILTIN:
        return BuiltinSource()
    if isinstance(item, str | Path) and is_stage(item):
        return StageSource(str(item), config.text_column, config.max_document_bytes)
    if isinstance(item, str | Path):
        return ParquetSource(item, config.text_column, config.max_document_bytes)
    if isinstance(item, DocumentSource):
        return item
    raise CorpusError(
        f"{item!r} is no source of text; give a path, an hf:// address or a TextSource."
    )


def _utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="replace"))


class _Reader:
    """Divides documents between training and held-out text until there are enough tokens."""

    def __init__(self, config: CorpusConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.train, self.held_out = TokenStream(tokenizer), TokenStream(tokenizer)
        self.counter = ReadCounter()
        self.n_bytes = 0
        self.complete = True
        self._sides: dict[bytes, bool] = {}

    def read(
        self, opened: Sequence[Iterator[Document]], sources: Sequence[DocumentSource]
    ) -> Iterator[int]:
        """Read one source after the other; yields the number of tokens now and then."""
        found = (item for documents in opened for item in documents)
        for index, (document, ids) in enumerate(self._encoded(found)):
            room = self._room()
            if room < 2:  # a separator and a token
                self.complete = False
                return
            self._add(document, ids, index, room)
            if index % DOCUMENTS_BETWEEN_NEWS == 0:
                yield self.n_tokens
        if self.n_documents == 0:
            raise CorpusError(self._nothing_found(sources))

    def _encoded(self, documents: Iterator[Document]) -> Iterator[tuple[Document, TokenIds]]:
        """Yield documents, cut if they are too long, with their tokens."""
        at_once = documents_at_once(self.tokenizer)
        while some := list(islice(documents, at_once)):
            limit = self.config.max_document_bytes
            kept = [shorten(document, limit, self.counter) for document in some]
            yield from zip(
                kept, encode_documents(self.tokenizer, [d.text for d in kept]), strict=True
            )

    def _add(self, document: Document, ids: TokenIds, index: int, room: int) -> None:
        if len(ids) + 1 > room:
            ids, self.complete = ids[: room - 1], False
        self.n_bytes += _utf8_size(document.text)
        side = self.held_out if self._is_held_out(ids, index) else self.train
        side.append(ids)

    def _is_held_out(self, ids: TokenIds, index: int) -> bool:
        """Apply the rule; a copy of an earlier document goes where that one went."""
        every = self.config.validation_every
        digest = hashlib.sha256(ids.data).digest()[:8]  # processors have instructions for it
        return self._sides.setdefault(digest, index % every == every - 1)

    def _room(self) -> int:
        return self.config.max_tokens - self.n_tokens

    @property
    def n_tokens(self) -> int:
        return self.train.n_tokens + self.held_out.n_tokens

    @property
    def n_documents(self) -> int:
        return len(self.train.lengths) + len(self.held_out.lengths)

    def _nothing_found(self, sources: Sequence[DocumentSource]) -> str:
        names = ", ".join(source.name for source in sources)
        report = self.report()
        why = f" {report.describe()}" if report.skipped else ""
        return f"There is no text to train on in {names}.{why} Choose another source or column."

    def balance(self) -> None:
        """See to it that something is held out where the rule took nothing."""
        if self.held_out.lengths:
            return
        last = self.train.pop()
        if self.train.lengths:
            self.held_out.append(last)
            return
        n_held_out = len(last) // self.config.validation_every
        self.train.append(last[: len(last) - n_held_out])
        if n_held_out:
            self.held_out.append(last[-n_held_out:])

    def report(self) -> ReadReport:
        return ReadReport(
            n_documents=self.n_documents,
            n_bytes=self.n_bytes,
            n_null=self.counter.n_null,
            n_empty=self.counter.n_empty,
            n_not_text=self.counter.n_not_text,
            n_truncated=self.counter.n_truncated,
            n_files=self.counter.n_files,
            complete=self.complete,
        )


def read_corpus(
    sources: Sequence[DocumentSource], config: CorpusConfig, tokenizer: Tokenizer, *, seed: int
) -> Iterator[int | Corpus]:
    """Read documents into training and held-out tokens, and mix in what teaches the skills.

    Yields the number of tokens so far, and at last the corpus.

    Every ``validation_every``-th document is held out, and the last one where that takes none; a
    copy of a document is never on the other side. One document alone is divided instead. Skill
    text is for training alone, where the exam tests it, and comes on top of ``max_tokens``.

    Args:
        sources: Read in this order.
        config: How many tokens, what is held out, and the share of the skills.
        tokenizer: Decides the ids, and how wide the arrays are: uint16 up to 65,536 ids.
        seed: Decides the skill text and its places, and nothing else.

    Raises:
        CorpusError: If a source cannot be read, or there is nothing to train on.
    """
    reader, skills = _Reader(config, tokenizer), SkillWriter(tokenizer, f"{seed} train")
    with ExitStack() as while_waiting:
        if any(isinstance(source, StageSource) for source in sources):
            most = _skill_tokens(config.max_tokens, config.skill_share)
            while_waiting.enter_context(skills.ahead(most))
        opened = [source.documents(reader.counter) for source in sources]
    yield from reader.read(opened, sources)
    report = reader.report()
    reader.balance()
    n_train, n_held_out = len(reader.train.lengths), len(reader.held_out.lengths)
    n_read = reader.n_tokens
    for n_written in skills.write(_skill_tokens(reader.train.n_tokens, config.skill_share)):
        yield n_read + n_written
    train, counted = _mix(reader.train, skills.stream, random.Random(f"{seed} places"))
    held_out = reader.held_out.array()
    yield Corpus(
        train_tokens=train,
        train_counted=counted,
        held_out_tokens=held_out,
        report=report,
        fingerprint=_fingerprint((train, counted, held_out), config),
        n_train_documents=n_train,
        n_held_out_documents=n_held_out,
        source_names=tuple(source.name for source in sources),
    )


def _skill_tokens(n_tokens: int, share: float) -> int:
    """Return how many tokens more make ``share`` of the sum."""
    return round(n_tokens * share / (1 - share))


def _mix(
    documents: TokenStream, extra: TokenStream, rng: random.Random
) -> tuple[TokenIds, NDArray[np.bool_]]:
    """Return both as one: ``documents`` in order, the others each at a random place."""
    n_documents, n_extra = len(documents.lengths), len(extra.lengths)
    places = [rng.randrange(n_documents + 1) for _ in range(n_extra)]
    order = np.argsort([*np.arange(n_documents) + 0.5, *places], kind="stable")
    mixed = np.empty(documents.n_tokens + extra.n_tokens, dtype=documents.dtype)
    counted = np.empty(len(mixed), dtype=np.bool_)
    pieces, more = documents.pieces(), extra.pieces()
    start = 0
    for item in order:
        piece, counts = next(pieces if item < n_documents else more)
        mixed[start : start + len(piece)] = piece
        counted[start : start + len(piece)] = counts
        start += len(piece)
    return mixed, counted


def _fingerprint(arrays: Sequence[NDArray[Any]], config: CorpusConfig) -> str:
    digest = hashlib.sha256(json.dumps(config.to_json(), sort_keys=True).encode())
    for tokens in arrays:
        digest.update(f"{len(tokens)} {tokens.dtype.itemsize}".encode())
        # the same on machines of either byte order
        digest.update(np.ascontiguousarray(tokens, dtype=tokens.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
