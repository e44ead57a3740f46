"""Documents as windows of token ids in a temporary file, so that memory does not grow with them."""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from circuitscope_core.corpus import Document
from circuitscope_core.errors import CorpusError
from circuitscope_core.feature_cards.examples import ExampleText
from circuitscope_core.feature_cards.passes import NO_TOKEN
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import encode_document

DOCUMENTS_BETWEEN_NEWS = 100


@dataclass(frozen=True, eq=False)
class TextWindows:
    """Windows in a temporary file, which is gone when they are."""

    text: ExampleText
    seen: Int[Tensor, " n_seen"]
    """The different tokens among them."""
    n_tokens: int
    """Tokens of text, those that open windows or divide documents not counted."""
    digest: str
    """Hash of the windows and of their sources."""


@dataclass
class _Writer:
    """Cuts a stream of tokens into windows, which go to two files: ids, and where they are from."""

    opener: int
    n_opening: int
    width: int
    d_vocab: int
    files: tuple[IO[bytes], IO[bytes]]
    sources: dict[str, int] = field(default_factory=dict)
    n_tokens: int = 0

    def __post_init__(self) -> None:
        self.seen = np.zeros(self.d_vocab, dtype=np.bool_)
        self.digest = hashlib.sha256(f"{self.width} {self.n_opening}".encode())
        self._row = np.full((2, self.width), NO_TOKEN, dtype=np.int32)
        self._begin()

    def _begin(self) -> None:
        self._row[:] = NO_TOKEN
        self._row[:, : self.n_opening] = [[self.opener], [0]]
        self._at = self.n_opening

    def add(self, ids: NDArray[np.integer], source: str) -> None:
        """Add tokens of one source."""
        number = self.sources.setdefault(source, len(self.sources))
        self.seen[ids] = True
        while len(ids):
            piece = ids[: self.width - self._at]
            place = slice(self._at, self._at + len(piece))
            self._row[0, place], self._row[1, place] = piece, number
            self._at, ids = place.stop, ids[len(piece) :]
            if self._at == self.width:
                self._flush()

    def _flush(self) -> None:
        for file, row in zip(self.files, self._row, strict=True):
            file.write(row.tobytes())
        self.digest.update(self._row.tobytes())
        self._begin()

    def finish(self) -> TextWindows:
        """Write the last window, however short, and return all of them."""
        if self._at > self.n_opening:
            self._flush()
        if not self.n_tokens:
            raise CorpusError("There is no text to collect cards on; give documents with text.")
        self.digest.update(repr(list(self.sources)).encode())
        ids, sources = (_mapped(file, self.width) for file in self.files)
        text = ExampleText(torch.from_numpy(ids), sources, tuple(self.sources), self.n_opening)
        seen = torch.from_numpy(np.flatnonzero(self.seen))
        return TextWindows(text, seen, self.n_tokens, self.digest.hexdigest())


def _mapped(file: IO[bytes], width: int) -> NDArray[Any]:
    file.flush()
    return np.memmap(file, dtype=np.int32, mode="r+").reshape(-1, width)


def write_windows(
    replacement: ReplacementModel, documents: Iterable[Document], n_tokens: int, width: int
) -> Iterator[int | TextWindows]:
    """Write documents into windows; yields the number of tokens now and then, then the windows.

    Each window is opened as a prompt is, and the separator stands between documents. The last
    window may be shorter.

    Args:
        replacement: The model and its tokenizer.
        documents: Read one after the other, up to ``n_tokens`` tokens.
        n_tokens: Most tokens of text.
        width: Tokens of a window.

    Raises:
        CorpusError: If there is no text.
    """
    tokenizer, shape = replacement.tokenizer, replacement.model.shape
    separator = np.array([tokenizer.separator_id] * shape.n_opening, dtype=np.int64)
    with tempfile.TemporaryFile() as ids_file, tempfile.TemporaryFile() as sources_file:
        files = (ids_file, sources_file)
        opener = tokenizer.separator_id
        writer = _Writer(opener, shape.n_opening, width, shape.d_vocab, files)
        for number, document in enumerate(documents):
            ids = encode_document(tokenizer, document.text)[: n_tokens - writer.n_tokens]
            if len(ids):
                writer.add(separator if writer.n_tokens else separator[:0], document.source)
                writer.add(ids, document.source)
                writer.n_tokens += len(ids)
            if writer.n_tokens >= n_tokens:
                break
            if number % DOCUMENTS_BETWEEN_NEWS == 0:
                yield writer.n_tokens
        yield writer.finish()
