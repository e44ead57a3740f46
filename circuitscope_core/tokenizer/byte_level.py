"""One token for each UTF-8 byte, and a separator that opens every prompt and divides documents."""

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.errors import PromptError
from circuitscope_core.tokenizer.protocol import SEPARATOR


class ByteTokenizer:
    """Ids 0 to 255 are bytes; 256 is the separator."""

    d_vocab = 257
    separator_id = 256

    def encode(self, text: str) -> list[int]:
        """Return the UTF-8 bytes of ``text``; a lone surrogate becomes ``?``."""
        return list(text.encode("utf-8", errors="replace"))

    def encode_array(self, text: str) -> NDArray[np.uint16]:
        """Return ``encode(text)`` as an array, without a Python object per byte."""
        data = text.encode("utf-8", errors="replace")
        return np.frombuffer(data, dtype=np.uint8).astype(np.uint16)

    def decode(self, token_ids: list[int]) -> str:
        """Return the text; separators are written out, broken UTF-8 becomes U+FFFD.

        Raises:
            PromptError: If an id is none of the 257.
        """
        parts: list[str] = []
        run = bytearray()
        for token_id in token_ids:
            if token_id == self.separator_id:
                parts += [run.decode("utf-8", errors="replace"), SEPARATOR]
                run = bytearray()
            elif 0 <= token_id < self.separator_id:
                run.append(token_id)
            else:
                raise PromptError(f"There is no token {token_id}; ids go from 0 to 256.")
        return "".join([*parts, run.decode("utf-8", errors="replace")])

    def token_text(self, token_id: int) -> str:
        """Return the character of an ASCII byte, ``\\x..`` for other bytes and control codes."""
        if token_id == self.separator_id:
            return SEPARATOR
        character = chr(token_id)
        readable = token_id < 128 and (character.isprintable() or character in "\n\t\r")
        return character if readable else f"\\x{token_id:02x}"
