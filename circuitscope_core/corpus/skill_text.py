"""Skill text as tokens, written while the first file of a stage is still on its way."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from circuitscope_core.corpus.streams import DOCUMENTS_BETWEEN_NEWS, TokenStream
from circuitscope_core.skills import write_documents
from circuitscope_core.tokenizer import Tokenizer, encode_with_numbers, word_starts

DOCUMENTS_IN_A_ROW = 20
"""Written before others may go on: about a third of a millisecond."""
BREATH = 5e-5
"""Seconds; without a pause of its own, Python gives way only every 5 ms, and a transfer of many
small steps would wait as often."""


class SkillWriter:
    """Writes the same documents for the same seed, however many are asked for and when."""

    def __init__(self, tokenizer: Tokenizer, seed: str) -> None:
        self.stream = TokenStream(tokenizer)
        self._tokenizer = tokenizer
        self._texts = write_documents(seed, word_starts(tokenizer))

    def write(self, wanted: int) -> Iterator[int]:
        """Bring the stream to the first documents that have ``wanted`` tokens together.

        Yields how many there are now and then.
        """
        while self.stream.n_tokens < wanted:
            self._write_document()
            if len(self.stream.lengths) % DOCUMENTS_BETWEEN_NEWS == 0:
                yield self.stream.n_tokens
        # of what was written ahead, what is too much
        while self.stream.lengths and self.stream.n_tokens - self.stream.lengths[-1] >= wanted:
            self.stream.pop()

    def _write_document(self) -> None:
        item = next(self._texts)
        ids, numbers = encode_with_numbers(self._tokenizer, item.text)
        counted = np.zeros(len(ids), dtype=np.bool_)
        for start, end in item.known:
            counted[numbers[start] : numbers[end - 1] + 1] = True
        self.stream.append(ids, counted)

    @contextmanager
    def ahead(self, most: int) -> Iterator[None]:
        """Write at most this number of tokens in a thread until the block ends.

        For times of waiting: it does not know how much will be asked for. Reading does not go on
        beside it, since both would take turns on one processor.
        """
        enough, failures = threading.Event(), list[Exception]()

        def work() -> None:
            try:
                while self.stream.n_tokens < most and not enough.is_set():
                    for _ in range(DOCUMENTS_IN_A_ROW):
                        self._write_document()
                    time.sleep(BREATH)
            except Exception as error:  # raised again below, in the thread that reads
                failures.append(error)

        thread = threading.Thread(target=work, name="skill text", daemon=True)
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()
        if failures:
            raise failures[0]
