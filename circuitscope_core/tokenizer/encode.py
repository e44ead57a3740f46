"""Documents and prompts as token ids."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitscope_core.errors import PromptError
from circuitscope_core.tokenizer.byte_level import ByteTokenizer
from circuitscope_core.tokenizer.hugging_face import HuggingFaceTokenizer
from circuitscope_core.tokenizer.protocol import Tokenizer


def encode_document(tokenizer: Tokenizer, text: str) -> NDArray[np.integer]:
    """Return the ids of one document as the smallest array that holds the vocabulary."""
    if isinstance(tokenizer, ByteTokenizer):
        return tokenizer.encode_array(text)
    width = np.uint16 if tokenizer.d_vocab <= 65_536 else np.uint32
    return np.asarray(tokenizer.encode(text), dtype=width)


def tokens_of_characters(
    tokenizer: Tokenizer, text: str, token_ids: Sequence[int] | NDArray[np.integer]
) -> Sequence[int]:
    """Return, for each character of a text, the number of the token that holds it.

    A character of several tokens is given the last of them.

    Args:
        tokenizer: The one that encoded the text.
        text: Any text for a Hugging Face tokenizer; for another, one whose tokens decode one by
            one.
        token_ids: The text's tokens.
    """
    if isinstance(tokenizer, HuggingFaceTokenizer):
        starts = [start for start, _ in tokenizer.token_spans(text)]
        return [max(0, bisect_right(starts, place) - 1) for place in range(len(text))]
    if len(token_ids) == len(text):
        return range(len(text))
    texts = (tokenizer.decode([int(token)]) for token in token_ids)
    return [number for number, piece in enumerate(texts) for _ in piece]


def encode_text(tokenizer: Tokenizer, text: str, *, closed: bool) -> list[int]:
    """Return a text's ids behind the separator and, where ``closed``, before what closes it."""
    token_ids = [tokenizer.separator_id, *tokenizer.encode(text)]
    if closed and isinstance(tokenizer, HuggingFaceTokenizer):
        token_ids += tokenizer.closing_ids
    return token_ids


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
        token_ids = encode_text(tokenizer, prompt, closed=closed)
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
