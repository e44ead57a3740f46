"""Documents and prompts as token ids."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.errors import PromptError
from circuitscope_core.tokenizer.byte_level import ByteTokenizer
from circuitscope_core.tokenizer.hugging_face import HuggingFaceTokenizer
from circuitscope_core.tokenizer.protocol import Tokenizer

MANY_TOKENS = 4
"""A text of more tokens than those that open and close one has some of its own."""
TOGETHER = 64
"""Documents that a Hugging Face tokenizer encodes at once."""
WORD_START = re.compile(" [A-Z][a-z]*")


def text_prefix(tokenizer: Tokenizer, text: str) -> str:
    """Return the space that is put before a whole text, so that its first word is the same tokens
    there as in the middle of a text; empty where the tokenizer asks for none."""
    prefix = tokenizer.text_prefix if isinstance(tokenizer, HuggingFaceTokenizer) else ""
    return prefix if text and not text[0].isspace() else ""


def token_lengths(tokenizer: Tokenizer) -> NDArray[np.int32]:
    """Return the bytes of text that each token stands for ``[d_vocab]``; 1 for those without text,
    as for the separator of a tokenizer of bytes."""
    if not isinstance(tokenizer, HuggingFaceTokenizer):
        return np.ones(tokenizer.d_vocab, dtype=np.int32)
    tokens = range(tokenizer.d_vocab)
    lengths = [1 if tokenizer.is_special(n) else len(tokenizer.token_bytes(n)) for n in tokens]
    return np.array(lengths, dtype=np.int32)


def word_starts(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return the capitalised words and beginnings of words, in ASCII, that are tokens with the
    space before them; none of a tokenizer of bytes."""
    texts = (tokenizer.token_text(token) for token in range(tokenizer.d_vocab))
    return tuple(text[1:] for text in texts if WORD_START.fullmatch(text))


def encode_document(tokenizer: Tokenizer, text: str) -> NDArray[np.integer]:
    """Return the ids of one document as the smallest array that holds the vocabulary."""
    if isinstance(tokenizer, ByteTokenizer):
        return tokenizer.encode_array(text)
    return _array(tokenizer, tokenizer.encode(text_prefix(tokenizer, text) + text))


def documents_at_once(tokenizer: Tokenizer) -> int:
    """Return how many documents are best encoded together: several share the processors."""
    return TOGETHER if isinstance(tokenizer, HuggingFaceTokenizer) else 1


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.integer]]:
    """Return the ids of several documents, each as ``encode_document`` does."""
    if not isinstance(tokenizer, HuggingFaceTokenizer):
        return [encode_document(tokenizer, text) for text in texts]
    whole = [text_prefix(tokenizer, text) + text for text in texts]
    return [_array(tokenizer, token_ids) for token_ids in tokenizer.encode_many(whole)]


def encode_words(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the tokens of a few words as they follow a text.

    A first word that is several tokens by itself and one with a space before it is given the space.
    """
    plain, prefix = tokenizer.encode(text), text_prefix(tokenizer, text)
    spaced = tokenizer.encode(prefix + text)
    return spaced if len(spaced) < len(plain) else plain


def _array(tokenizer: Tokenizer, token_ids: list[int]) -> NDArray[np.integer]:
    width = np.uint16 if tokenizer.d_vocab <= 65_536 else np.uint32
    return np.asarray(token_ids, dtype=width)


def encode_with_numbers(
    tokenizer: Tokenizer, text: str
) -> tuple[NDArray[np.integer], Sequence[int]]:
    """Return a document's ids and, for each character, the number of the token that holds it.

    A character of several tokens is given the last of them.

    Args:
        tokenizer: Encodes the text.
        text: Any text for a Hugging Face tokenizer; for another, one whose tokens decode one by
            one.
    """
    if isinstance(tokenizer, HuggingFaceTokenizer):
        prefix = text_prefix(tokenizer, text)
        token_ids, spans = tokenizer.encode_with_spans(prefix + text)
        starts = [start - len(prefix) for start, _ in spans]
        numbers = [max(0, bisect_right(starts, place) - 1) for place in range(len(text))]
        return _array(tokenizer, token_ids), numbers
    ids = encode_document(tokenizer, text)
    if len(ids) == len(text):
        return ids, range(len(text))
    texts = (tokenizer.decode([int(token)]) for token in ids)
    return ids, [number for number, piece in enumerate(texts) for _ in piece]


def encode_text(tokenizer: Tokenizer, text: str, *, closed: bool) -> list[int]:
    """Return a text's ids behind the separator and, where ``closed``, before what closes it."""
    prefix = text_prefix(tokenizer, text)
    token_ids = [tokenizer.separator_id, *tokenizer.encode(prefix + text)]
    if closed and isinstance(tokenizer, HuggingFaceTokenizer):
        token_ids += tokenizer.closing_ids
    return token_ids


def decode_prompt(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    """Return the text that ``encode_text`` opens and turns into some tokens."""
    text = tokenizer.decode(list(token_ids[1:]))
    return text[1:] if text.startswith(" ") and text_prefix(tokenizer, text[1:]) else text


def _refuse_half_characters(prompt: str) -> None:
    """Refuse a text that is none: a shell makes such of bytes in another encoding than its own."""
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"The prompt has half a character, or a byte that is no UTF-8, behind "
            f"{prompt[: error.start]!r}. Write it again as UTF-8."
        ) from error


def ids_of(prompt: Any) -> list[int]:
    """Return token ids as plain numbers: a sequence, a tensor or array ``[n]``, or one ``[1, n]``.

    Raises:
        PromptError: If they are of another shape, or no whole numbers.
    """
    shape = tuple(getattr(prompt, "shape", ()))
    found = prompt.tolist() if hasattr(prompt, "tolist") else list(prompt)
    if shape[:-1] == (1,):
        (found,) = found
    elif len(shape) > 1 or not isinstance(found, list):
        raise PromptError(
            f"The token ids are of shape {list(shape)}; give those of one prompt: [n] or [1, n]."
        )
    found = [item.item() if hasattr(item, "item") else item for item in found]
    wrong = [item for item in found if not isinstance(item, int) or isinstance(item, bool)]
    if wrong:
        raise PromptError(f"{wrong[0]!r} is no token id; ids are whole numbers.")
    return found


def encode_prompt(
    tokenizer: Tokenizer, prompt: str | Sequence[int], n_ctx: int, *, closed: bool = False
) -> list[int]:
    """Return the ids the model sees: the separator and the text, or given ids as they are.

    Args:
        tokenizer: The model's.
        prompt: Text or token ids.
        n_ctx: The most tokens that the model reads.
        closed: True puts behind a text what the tokenizer closes texts with, as masked models
            expect it.

    Raises:
        PromptError: If the prompt is empty, longer than ``n_ctx``, or has an unknown id.
    """
    if isinstance(prompt, str):
        if not prompt:
            raise PromptError("The prompt is empty. Type at least one character.")
        _refuse_half_characters(prompt)
        token_ids = encode_text(tokenizer, prompt, closed=closed)
        if len(token_ids) < MANY_TOKENS and not tokenizer.encode(prompt):
            raise PromptError(f"The prompt {prompt!r} is no tokens to this model's tokenizer.")
    else:
        token_ids = ids_of(prompt)
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
