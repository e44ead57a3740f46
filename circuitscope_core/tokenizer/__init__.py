"""Text to token ids and back: single bytes, any Hugging Face tokenizer, or ids without text."""

from circuitscope_core.tokenizer.byte_level import ByteTokenizer
from circuitscope_core.tokenizer.encode import encode_document, encode_prompt, tokens_of_characters
from circuitscope_core.tokenizer.hugging_face import HuggingFaceTokenizer
from circuitscope_core.tokenizer.protocol import (
    SEPARATOR,
    Tokenizer,
    output_name,
    show,
    token_label,
)
from circuitscope_core.tokenizer.token_ids import TokenIds

__all__ = [
    "SEPARATOR",
    "ByteTokenizer",
    "HuggingFaceTokenizer",
    "TokenIds",
    "Tokenizer",
    "encode_document",
    "encode_prompt",
    "output_name",
    "show",
    "token_label",
    "tokens_of_characters",
]
