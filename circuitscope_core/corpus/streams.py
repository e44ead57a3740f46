"""Documents as one growing run of token ids."""

from array import array
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.tokenizer import Tokenizer, encode_document

TokenIds: TypeAlias = NDArray[np.integer]
DOCUMENTS_BETWEEN_NEWS = 100
"""How many documents are read between two reports; a long one takes a few milliseconds."""


class TokenStream:
    """Documents as one growing run of ids, without a Python object per token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.dtype = encode_document(tokenizer, "").dtype
        self.separator = np.array([tokenizer.separator_id], dtype=self.dtype).tobytes()
        self.lengths = array("q")
        self._data = bytearray()
        self._counted = bytearray()

    def append(self, ids: TokenIds, counted: NDArray[np.bool_] | None = None) -> None:
        """Add the separator and one document, of which all tokens count unless told otherwise."""
        self._data += self.separator
        self._data += ids.data
        self._counted += b"\1"
        self._counted += b"\1" * len(ids) if counted is None else counted.tobytes()
        self.lengths.append(len(ids) + 1)

    def pop(self) -> TokenIds:
        """Take the last document away and return its ids, without the separator."""
        size = self.lengths.pop() * self.dtype.itemsize
        last = bytes(self._data[-size:])
        del self._data[-size:]
        del self._counted[self.n_tokens :]
        return np.frombuffer(last, dtype=self.dtype)[1:]

    @property
    def n_tokens(self) -> int:
        """Tokens so far, separators included."""
        return len(self._data) // self.dtype.itemsize

    def array(self) -> TokenIds:
        """Return all tokens; nothing can be added while the array lives."""
        return np.frombuffer(self._data, dtype=self.dtype)

    def pieces(self) -> Iterator[tuple[TokenIds, NDArray[np.bool_]]]:
        """Yield each document with its separator, and which of its tokens count."""
        tokens, counted = self.array(), np.frombuffer(self._counted, dtype=np.bool_)
        start = 0
        for length in self.lengths:
            piece = slice(start, start + length)
            yield tokens[piece], counted[piece]
            start += length
