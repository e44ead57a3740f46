"""The entries of a vocabulary as bytes: the three ways in which tokenizer files write them.

Byte-level BPE (GPT-2, Llama 3, Qwen) has an alphabet for bytes, SentencePiece (Llama 2, Gemma,
Mistral) marks spaces with ``▁`` and writes lone bytes as ``<0xE6>``, WordPiece (BERT) marks
parts of words after the first with ``##``.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

SPACE = "▁"
LONE_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class PieceKind(StrEnum):
    """How a tokenizer file writes its vocabulary."""

    BYTES = "byte-level"
    SENTENCE = "SentencePiece"
    WORD = "WordPiece"
    PLAIN = "plain"


def kind_of(file: Mapping[str, Any]) -> PieceKind:
    """Return how a ``tokenizer.json`` writes its vocabulary, by its decoder."""
    kinds = _types(file.get("decoder")) | _types(file.get("pre_tokenizer"))
    if "ByteLevel" in kinds:
        return PieceKind.BYTES
    if "WordPiece" in kinds:
        return PieceKind.WORD
    vocabulary = (file.get("model") or {}).get("vocab") or ()
    marks = SPACE in str(file.get("decoder")) or SPACE in str(file.get("normalizer"))
    if marks or "Metaspace" in kinds or "<0x0A>" in vocabulary:
        return PieceKind.SENTENCE
    return PieceKind.PLAIN


def _types(part: Any) -> set[str]:
    """Return the types of a part of the file, those of a sequence's members among them."""
    if not isinstance(part, Mapping):
        return set()
    found = {str(part.get("type"))}
    for name in ("decoders", "pretokenizers"):
        for inner in part.get(name) or ():
            found |= _types(inner)
    return found


@cache
def byte_alphabet() -> Mapping[str, int]:
    """Return the byte of each character of GPT-2's alphabet.

    Bytes that print in Latin-1 stand for themselves; the others follow from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return alphabet | {chr(256 + place): byte for place, byte in enumerate(others)}


def piece_bytes(piece: str, kind: PieceKind) -> bytes:
    """Return the bytes of text that a piece of the vocabulary stands for."""
    if kind is PieceKind.BYTES:
        alphabet = byte_alphabet()
        if all(character in alphabet for character in piece):
            return bytes(alphabet[character] for character in piece)
    if kind is PieceKind.SENTENCE:
        if lone := LONE_BYTE.fullmatch(piece):
            return bytes([int(lone[1], 16)])
        return piece.replace(SPACE, " ").encode()
    if kind is PieceKind.WORD:
        return piece.removeprefix("##").encode()
    return piece.encode()


def readable(text: bytes) -> str:
    r"""Return bytes as text; if they are parts of characters, each byte as ``\xe6``."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in text)
