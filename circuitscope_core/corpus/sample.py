"""The text that a tokenizer is learned from: a part of the training text and of the skills'."""

import hashlib
from collections.abc import Iterator, Sequence

from circuitscope_core.config import CorpusConfig
from circuitscope_core.corpus.documents import DocumentSource, ReadCounter, shorten
from circuitscope_core.corpus.streams import DOCUMENTS_BETWEEN_NEWS
from circuitscope_core.skills import write_documents

SAMPLE_CHARACTERS = 24_000_000
"""The most characters in the sample: more of them change few of some thousand tokens."""


def read_sample(
    sources: Sequence[DocumentSource], config: CorpusConfig, *, seed: int
) -> Iterator[int | list[str]]:
    """Read the beginning of each source, without what is held out, and write skill sentences.

    Yields the number of characters so far now and then, and at last the texts.

    Args:
        sources: Each gives an equal share of the sample, or all that it has.
        config: The documents that are held out, and the skills' share.
        seed: Decides the skill text.

    Raises:
        CorpusError: If a source cannot be read.
    """
    texts: list[str] = []
    n_read, index, sides = 0, 0, dict[bytes, bool]()
    for number, source in enumerate(sources):
        room = (SAMPLE_CHARACTERS - n_read) // (len(sources) - number)
        documents = source.documents(ReadCounter())
        for document in documents:
            text = shorten(document, config.max_document_bytes, ReadCounter()).text
            digest = hashlib.sha256(text.encode(errors="replace")).digest()[:8]
            held_out = index % config.validation_every == config.validation_every - 1
            if not sides.setdefault(digest, held_out):
                texts.append(text)
                n_read, room = n_read + len(text), room - len(text)
            index += 1
            if index % DOCUMENTS_BETWEEN_NEWS == 0:
                yield n_read
            if room <= 0:
                break
    wanted = n_read * config.skill_share / (1 - config.skill_share)
    for item in write_documents(f"{seed} train"):
        if wanted <= 0:
            break
        texts.append(item.text)
        wanted -= len(item.text)
    yield texts
