"""Text that may be passed on with a model: what its feature cards quote."""

import random
from collections.abc import Iterator

from circuitscope_core.config import CorpusConfig
from circuitscope_core.corpus.builtin import BuiltinSource, PythonLibrarySource
from circuitscope_core.corpus.documents import (
    Document,
    DocumentSource,
    ReadCounter,
    end_of_character,
    shorten,
)
from circuitscope_core.skills import write_documents

SKILLS_SOURCE = "skill sentences"
PASSAGE_BYTES = 4_000
"""Long documents are divided, so that a short reading sees many of them."""
_SHARES = (0.45, 0.35, 0.2)
"""Shares of the text: countries, Python, skills."""


def read_open_documents(config: CorpusConfig, *, seed: int) -> Iterator[Document]:
    """Yield countries, Python and skill sentences in turn, in an order fixed by ``seed``.

    Ends when the countries or Python are used up, after several million characters.

    Raises:
        CorpusError: If the built-in text is not installed.
    """
    streams = [
        _shuffled(BuiltinSource(), config, f"{seed} countries"),
        _shuffled(PythonLibrarySource(), config, f"{seed} python"),
        (Document(item.text, SKILLS_SOURCE) for item in write_documents(f"{seed} open")),
    ]
    # the stream that is furthest behind its share is next
    written = [0.0] * len(streams)
    while True:
        index = written.index(min(written))
        document = next(streams[index], None)
        if document is None:
            return
        written[index] += len(document.text) / _SHARES[index]
        yield document


def _shuffled(source: DocumentSource, config: CorpusConfig, seed: str) -> Iterator[Document]:
    passages = [
        passage
        for document in source.documents(ReadCounter())
        for passage in divide(shorten(document, config.max_document_bytes, ReadCounter()))
    ]
    random.Random(seed).shuffle(passages)
    return iter(passages)


def divide(document: Document) -> Iterator[Document]:
    """Yield passages of at most ``PASSAGE_BYTES``, cut after a line where there is one."""
    data = document.text.encode("utf-8", errors="replace")
    while data:
        end = end_of_character(data, PASSAGE_BYTES)
        if end < len(data):
            end = data.rfind(b"\n", 0, end) + 1 or end
        text = data[:end].decode("utf-8")
        if text.strip():
            yield Document(text, document.source)
        data = data[end:]
