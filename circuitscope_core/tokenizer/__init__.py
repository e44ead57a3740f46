"""Text to token ids and back: bytes, learned words, any Hugging Face tokenizer, or bare ids."""

from circuitscope_core.tokenizer.byte_level import ByteTokenizer
from circuitscope_core.tokenizer.byte_pairs import learn_tokenizer
from circuitscope_core.tokenizer.chat import ChatPrompt, chat_prompt, has_chat_template
from circuitscope_core.tokenizer.encode import (
    decode_prompt,
    documents_at_once,
    encode_document,
    encode_documents,
    encode_prompt,
    encode_text,
    encode_with_numbers,
    encode_words,
    ids_of,
    text_prefix,
    token_lengths,
    word_starts,
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
    "decode_prompt",
    "describe_opener",
    "documents_at_once",
    "encode_document",
    "encode_documents",
    "encode_prompt",
    "encode_text",
    "encode_with_numbers",
    "encode_words",
    "has_chat_template",
    "ids_of",
    "learn_tokenizer",
    "output_name",
    "read_tokens",
    "show",
    "text_prefix",
    "token_label",
    "token_lengths",
    "width_of_character",
    "word_starts",
]
