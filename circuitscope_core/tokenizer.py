"""Text to token ids and back.

Default: one token per UTF-8 byte, and a separator that opens every prompt and divides documents.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.errors import BundleError, PromptError

SEPARATOR = "<|endoftext|>"


@runtime_checkable
class Tokenizer(Protocol):
    """What the other rooms ask of a tokenizer."""

    @property
    def d_vocab(self) -> int:
        """Number of token ids."""

    @property
    def separator_id(self) -> int:
        """Id of the token that opens prompts and divides documents."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, without a separator."""

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of ``token_ids``; broken UTF-8 becomes U+FFFD."""

    def token_text(self, token_id: int) -> str:
        """Return one token as text; a lone byte of a longer character as ``\\xe2``."""


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
        """Return the text; separators are written out, broken UTF-8 becomes U+FFFD."""
        parts: list[str] = []
        run = bytearray()
        for token_id in token_ids:
            if token_id == self.separator_id:
                parts += [run.decode("utf-8", errors="replace"), SEPARATOR]
                run = bytearray()
            else:
                run.append(token_id)
        return "".join([*parts, run.decode("utf-8", errors="replace")])

    def token_text(self, token_id: int) -> str:
        """Return the character of an ASCII byte, ``\\x..`` for other bytes and control codes."""
        if token_id == self.separator_id:
            return SEPARATOR
        character = chr(token_id)
        readable = token_id < 128 and (character.isprintable() or character in "\n\t\r")
        return character if readable else f"\\x{token_id:02x}"


class HuggingFaceTokenizer:
    """A tokenizer read from a Hugging Face ``tokenizer.json``.

    Raises:
        BundleError: If the file is missing, unreadable, or names no separator token.
    """

    def __init__(self, path: str | Path) -> None:
        from tokenizers import Tokenizer as FastTokenizer  # slow to import, and rarely needed

        self.path = Path(path)
        if not self.path.is_file():
            raise BundleError(f"{self.path} is not there; it must be a tokenizer.json file.")
        # kept, since the folder that it lies in may be gone when a model is saved again
        self._file = self.path.read_bytes()
        try:
            self._fast = FastTokenizer.from_buffer(self._file)
        except Exception as error:  # the library raises bare Exception
            raise BundleError(
                f"{self.path} is not a Hugging Face tokenizer.json: {error}"
            ) from error
        names = (SEPARATOR, "<s>", "<bos>", "[CLS]", "</s>", "<eos>")
        found = [self._fast.token_to_id(name) for name in names]
        known = [token_id for token_id in found if token_id is not None]
        if not known:
            raise BundleError(
                f"{self.path} has none of the tokens {', '.join(names)}; add one as separator."
            )
        self.separator_id: int = known[0]
        self.d_vocab: int = self._fast.get_vocab_size(with_added_tokens=True)

    def save(self, path: Path) -> None:
        """Write the file that this tokenizer was read from."""
        path.write_bytes(self._file)

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, special tokens not added."""
        return list(self._fast.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: list[int]) -> str:
        """Return the text, special tokens included."""
        return str(self._fast.decode(token_ids, skip_special_tokens=False))

    def token_text(self, token_id: int) -> str:
        """Return one token as text."""
        return self.decode([token_id])


class TokenIds:
    """Stands in where a model comes without a tokenizer: prompts are ids, and so are labels."""

    separator_id = -1
    """No token divides documents."""

    def __init__(self, d_vocab: int) -> None:
        self.d_vocab = d_vocab

    def encode(self, text: str) -> list[int]:
        """Refuse text.

        Raises:
            PromptError: Always.
        """
        raise PromptError(
            f"The model has no tokenizer, so the text {text[:40]!r} cannot be read; give token ids."
        )

    def decode(self, token_ids: list[int]) -> str:
        """Return the ids, each in angle brackets."""
        return "".join(map(self.token_text, token_ids))

    def token_text(self, token_id: int) -> str:
        """Return an id in angle brackets."""
        return f"<{token_id}>"


def encode_document(tokenizer: Tokenizer, text: str) -> NDArray[np.integer]:
    """Return the ids of one document as the smallest array that holds the vocabulary."""
    if isinstance(tokenizer, ByteTokenizer):
        return tokenizer.encode_array(text)
    width = np.uint16 if tokenizer.d_vocab <= 65_536 else np.uint32
    return np.asarray(tokenizer.encode(text), dtype=width)


def tokens_of_characters(
    tokenizer: Tokenizer, text: str, token_ids: Sequence[int] | NDArray[np.integer]
) -> Sequence[int]:
    """Return, for each character of an ASCII text, the number of the token that holds it.

    Args:
        tokenizer: The one that encoded the text.
        text: Any text whose tokens decode one by one.
        token_ids: The text's tokens.
    """
    if len(token_ids) == len(text):
        return range(len(text))
    texts = (tokenizer.decode([int(token)]) for token in token_ids)
    return [number for number, piece in enumerate(texts) for _ in piece]


def encode_prompt(tokenizer: Tokenizer, prompt: str | Sequence[int], n_ctx: int) -> list[int]:
    """Return the ids the model sees: the separator and the text, or given ids as they are.

    Raises:
        PromptError: If the prompt is empty, longer than ``n_ctx``, or has an unknown id.
    """
    if isinstance(prompt, str):
        if not prompt:
            raise PromptError("The prompt is empty. Type at least one character.")
        token_ids = [tokenizer.separator_id, *tokenizer.encode(prompt)]
    else:
        token_ids = [int(token_id) for token_id in prompt]
        if not token_ids:
            raise PromptError("The prompt has no token ids. Give at least one.")
        for token_id in token_ids:
            if not 0 <= token_id < tokenizer.d_vocab:
                raise PromptError(
                    f"Token id {token_id} is outside the vocabulary; "
                    f"ids go from 0 to {tokenizer.d_vocab - 1}."
                )
    if len(token_ids) > n_ctx:
        raise PromptError(
            f"The prompt has {len(token_ids)} tokens with the separator that opens it; "
            f"the model reads at most {n_ctx}. Shorten it by {len(token_ids) - n_ctx}."
        )
    return token_ids
