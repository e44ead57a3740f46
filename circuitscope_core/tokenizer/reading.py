"""A prompt's tokens in words: special ones, parts of characters, and the token in front."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from circuitscope_core.tokenizer.byte_level import ByteTokenizer
from circuitscope_core.tokenizer.hugging_face import HuggingFaceTokenizer
from circuitscope_core.tokenizer.protocol import Tokenizer, show, token_label

LONGEST_CHARACTER = 4
"""Bytes of one character in UTF-8."""
BROKEN = "\ufffd"


class TokenKind(StrEnum):
    """The kind of a token: its text, part of a character, or a special meaning."""

    TEXT = "text"
    PART = "part"
    """Bytes that make a character only together with its neighbours."""
    SPECIAL = "special"
    """No text, as the token that opens prompts."""


@dataclass(frozen=True)
class ReadToken:
    """One token as a person reads it."""

    text: str
    """Spaces and line ends are visible; the second of three parts of 東 is ``東 2/3``."""
    kind: TokenKind


def read_tokens(tokenizer: Tokenizer, token_ids: Sequence[int]) -> tuple[ReadToken, ...]:
    """Return each token as a person reads it."""
    found: list[ReadToken] = []
    while len(found) < len(token_ids):
        rest = token_ids[len(found) :]
        known = takewhile(lambda number: number < tokenizer.d_vocab, rest[:LONGEST_CHARACTER])
        width = width_of_character(tokenizer, list(known))
        if width > 1:
            whole = show(tokenizer.decode(list(rest[:width])))
            parts = (f"{whole} {number}/{width}" for number in range(1, width + 1))
            found += [ReadToken(text, TokenKind.PART) for text in parts]
        else:
            found.append(_read_token(tokenizer, rest[0]))
    return tuple(found)


def _read_token(tokenizer: Tokenizer, token_id: int) -> ReadToken:
    if token_id >= tokenizer.d_vocab:
        return ReadToken(f"<{token_id}>", TokenKind.SPECIAL)
    label = token_label(tokenizer.token_text(token_id))
    if is_special(tokenizer, token_id):
        return ReadToken(label, TokenKind.SPECIAL)
    broken = BROKEN in tokenizer.decode([token_id])
    return ReadToken(label, TokenKind.PART if broken else TokenKind.TEXT)


def is_special(tokenizer: Tokenizer, token_id: int) -> bool:
    """Tell whether a token stands for no text."""
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return tokenizer.is_special(token_id)
    return token_id == tokenizer.separator_id


def width_of_character(tokenizer: Tokenizer, token_ids: Sequence[int]) -> int:
    """Return how many tokens make the first character; 1 where one does, or none do."""
    if not token_ids or BROKEN not in tokenizer.decode([token_ids[0]]):
        return 1
    for width in range(2, len(token_ids) + 1):
        text = tokenizer.decode(list(token_ids[:width]))
        if text.isprintable() and BROKEN not in text:
            return width
    return 1


def describe_opener(tokenizer: Tokenizer) -> str:
    """Return a sentence on the token in front of every prompt; nothing where there is none."""
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return f"{tokenizer.opener} stands in front of the prompt: {tokenizer.opener_reason}."
    if isinstance(tokenizer, ByteTokenizer):
        return (
            "“start” stands in front of the prompt: the token that divides the documents of the "
            "training text."
        )
    return ""
