"""Text to token ids and back: single bytes, any Hugging Face tokenizer, or ids without text."""

from circuitscope_core.tokenizer.byte_level import ByteTokenizer
from circuitscope_core.tokenizer.chat import ChatPrompt, chat_prompt, has_chat_template
from circuitscope_core.tokenizer.encode import (
    encode_document,
    encode_prompt,
    encode_text,
    tokens_of_characters,
)
from circuitscope_core.tokenizer.hugging_face import HuggingFaceTokenizer
from circuitscope_core.tokenizer.protocol import (
    SEPARATOR,
    Tokenizer,
    output_name,
    show,
    token_label,
)
from circuitscope_core.tokenizer.reading import (
    LONGEST_CHARACTER,
    ReadToken,
    TokenKind,
    describe_opener,
    read_tokens,
    width_of_character,
)
from circuitscope_core.tokenizer.token_ids import TokenIds

__all__ = [
    "LONGEST_CHARACTER",
    "SEPARATOR",
    "ByteTokenizer",
    "ChatPrompt",
    "HuggingFaceTokenizer",
    "ReadToken",
    "TokenIds",
    "TokenKind",
    "Tokenizer",
    "chat_prompt",
    "describe_opener",
    "encode_document",
    "encode_prompt",
    "encode_text",
    "has_chat_template",
    "output_name",
    "read_tokens",
    "show",
    "token_label",
    "tokens_of_characters",
    "width_of_character",
]
