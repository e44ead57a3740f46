"""Documents, the sources that they come from, and the account of reading them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Document:
    """One text and the part of the corpus it is from."""

    text: str
    source: str


@dataclass
class ReadCounter:
    """Counts of what a source left out or cut so far; the source adds to it while it reads."""

    n_null: int = 0
    n_empty: int = 0
    n_not_text: int = 0
    n_truncated: int = 0
    n_files: int = 0


@runtime_checkable
class DocumentSource(Protocol):
    """Documents in a fixed order."""

    @property
    def name(self) -> str:
        """The source's name in records; never a path on this machine."""

    @property
    def redistributable(self) -> bool:
        """Whether excerpts may be passed on with a model."""

    def documents(self, counter: ReadCounter) -> Iterator[Document]:
        """Return the documents; problems that concern all of them are raised by this call.

        Args:
            counter: Told about everything that is left out or cut, as it happens.

        Raises:
            CorpusError: If the source cannot be read.
        """


@dataclass(frozen=True)
class ReadReport:
    """Counts of the documents of a corpus that were read, cut and left out."""

    n_documents: int
    """Documents in the corpus, held-out ones included."""
    n_bytes: int
    """Their length in UTF-8."""
    n_null: int = 0
    n_empty: int = 0
    """Empty, or nothing but white space."""
    n_not_text: int = 0
    """Documents that are not valid UTF-8."""
    n_truncated: int = 0
    """Kept, but cut at ``max_document_bytes``."""
    n_files: int = 0
    complete: bool = True
    """False if reading stopped at ``max_tokens``."""

    @property
    def skipped(self) -> int:
        """Number of rows that gave no document."""
        return self.n_null + self.n_empty + self.n_not_text

    def describe(self) -> str:
        """Return a sentence or two for the user, about what happened and nothing else."""
        sentences = [f"Read {self._amount()}."]
        if self.skipped:
            sentences.append(f"Skipped {self._skipped_kinds()}.")
        if self.n_truncated:
            what = _count(self.n_truncated, "document")
            sentences.append(f"Cut {what} at max_document_bytes.")
        if not self.complete:
            sentences.append("Stopped at max_tokens, before the end of the text.")
        return " ".join(sentences)

    def _amount(self) -> str:
        files = f" from {_count(self.n_files, 'file')}" if self.n_files else ""
        return f"{_count(self.n_documents, 'document')} ({_size(self.n_bytes)}){files}"

    def _skipped_kinds(self) -> str:
        kinds = (
            (self.n_null, "without text"),
            (self.n_empty, "empty"),
            (self.n_not_text, "not valid UTF-8"),
        )
        listed = ", ".join(f"{number:,} {kind}" for number, kind in kinds if number)
        return f"{_count(self.skipped, 'row')}: {listed}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _size(n_bytes: int) -> str:
    if n_bytes >= 1_000_000:
        return f"{n_bytes / 1e6:,.1f} MB"
    return f"{n_bytes / 1e3:,.1f} kB" if n_bytes >= 1_000 else _count(n_bytes, "byte")


def end_of_character(data: bytes | memoryview, limit: int) -> int:
    """Return the largest end of a UTF-8 character in ``data`` that is not above ``limit``."""
    if len(data) <= limit:
        return len(data)
    end = limit
    # a character has at most three continuation bytes; more of them are no UTF-8
    # (a view of signed bytes answers the test alike)
    while end > max(0, limit - 3) and data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def shorten(document: Document, max_bytes: int, counter: ReadCounter) -> Document:
    """Return the document, cut at a character if longer than ``max_bytes`` in UTF-8."""
    if len(document.text) * 4 <= max_bytes:  # no character takes more than four bytes
        return document
    data = document.text.encode("utf-8", errors="replace")
    if len(data) <= max_bytes:
        return document
    counter.n_truncated += 1
    kept = data[: end_of_character(data, max_bytes)]
    return Document(kept.decode("utf-8"), document.source)
