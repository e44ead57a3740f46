"""A prompt together with its answer: the tokens of it, and the positions at which each is read."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from numbers import Integral
from typing import TypeAlias

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.errors import ModelError, PromptError
from circuitscope_core.replacement import Explainable, ReplacementModel, replacement_of
from circuitscope_core.tokenizer import (
    HuggingFaceTokenizer,
    Tokenizer,
    decode_prompt,
    encode_text,
    ids_of,
    text_prefix,
)


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt with an answer behind it, as a model reads both.

    The model reads the prompt and all of the answer but its last token; each token of the answer is
    what it is asked for at the position before. Every analysis takes this in the place of a prompt.
    """

    prompt: str
    """The text that the model reads."""
    token_ids: tuple[int, ...]
    """Tokens that the model reads: of the prompt, and of the answer all but the last."""
    answer_ids: tuple[int, ...]
    """Tokens of the answer, at least one."""

    @property
    def positions(self) -> range:
        """The position at which each token of the answer is read: the one before it."""
        n_pos = len(self.token_ids)
        return range(n_pos - len(self.answer_ids), n_pos)


PromptLike: TypeAlias = str | Sequence[int] | AnsweredPrompt
"""A prompt as analyses take it: a text, token ids, or a prompt with its answer."""
Answer: TypeAlias = str | int | Sequence[int]
"""An answer as analyses take it: its text, its tokens, or the number of tokens that the model is to
give itself."""


@checked
def answer_prompt(
    bundle: Explainable, prompt: str | Sequence[int], answer: Answer
) -> AnsweredPrompt:
    """Put an answer behind a prompt.

    A text is encoded together with the prompt's, and the answer begins with the token that holds
    its first character: a tokenizer of pieces of words may join the two where they meet. Where
    the prompt is token ids, the answer is encoded by itself.

    Args:
        bundle: A bundle or a replacement model.
        prompt: Text, which is opened with the separator, or token ids, which are taken as they are.
        answer: Text, token ids, or a number of tokens of the model's own likeliest
            continuation. Such an answer ends early with the token that ends a text.

    Raises:
        PromptError: If the prompt or the answer is empty, has unknown ids, or both are longer
            together than the model reads.
        ModelError: If the model does not continue texts, as masked ones do not.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> asked = cs.answer_prompt(bundle, "The National Digital Group (N", "DG)")
        >>> len(asked.answer_ids), list(asked.positions)[-1] + 1 == len(asked.token_ids)
        (3, True)
    """
    replacement = replacement_of(bundle)
    shape = replacement.model.shape
    if shape.mask_id is not None or not shape.causal:
        raise ModelError(
            "This model does not continue texts: it sees every position at once, so an answer "
            "would be read before it is given. Explain the word in the mask's place instead, "
            "without an answer."
        )
    own = replacement.encode(prompt)
    if isinstance(answer, str):
        read, given = _with_text(replacement, prompt, own, answer)
    elif isinstance(answer, int | Integral):
        _check_count(int(answer), len(own), shape.n_ctx)
        read, given = own, _continued(replacement, own, int(answer))
    else:
        read, given = own, _checked_ids(replacement.tokenizer, answer)
    if not given:
        raise PromptError(
            "The answer is empty. Give its text, its tokens, or the number of tokens that the "
            "model is to go on by."
        )
    _check_length(len(read) + len(given) - 1, shape.n_ctx)
    token_ids = (*read, *given[:-1])
    tokenizer = replacement.tokenizer
    opened = isinstance(prompt, str)
    text = decode_prompt(tokenizer, token_ids) if opened else tokenizer.decode(list(token_ids))
    return AnsweredPrompt(text, token_ids, tuple(given))


def _with_text(
    replacement: ReplacementModel, prompt: str | Sequence[int], own: list[int], answer: str
) -> tuple[list[int], list[int]]:
    """Return the tokens before an answer's text, and those of the answer."""
    tokenizer = replacement.tokenizer
    if not isinstance(prompt, str):
        return own, tokenizer.encode(answer)
    both = encode_text(tokenizer, prompt + answer, closed=False)[1:]
    first = first_token_of(tokenizer, prompt, answer) if answer else len(both)
    return [own[0], *both[:first]], both[first:]


def first_token_of(tokenizer: Tokenizer, prompt: str, answer: str) -> int:
    """Return the number of the token that holds an answer's first character.

    Args:
        tokenizer: The one that encodes both together.
        prompt: Text before the answer.
        answer: At least one character.
    """
    if isinstance(tokenizer, HuggingFaceTokenizer):
        prefix = text_prefix(tokenizer, prompt + answer)
        _, spans = tokenizer.encode_with_spans(prefix + prompt + answer)
        return bisect_right([end for _, end in spans], len(prefix + prompt))
    pairs = zip(tokenizer.encode(prompt), tokenizer.encode(prompt + answer), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _checked_ids(tokenizer: Tokenizer, answer: Sequence[int]) -> list[int]:
    token_ids = ids_of(answer)
    for token_id in token_ids:
        if not 0 <= token_id < tokenizer.d_vocab:
            raise PromptError(
                f"Token id {token_id} of the answer is outside the vocabulary; ids go from 0 to "
                f"{tokenizer.d_vocab - 1}."
            )
    return token_ids


def _check_count(n: int, n_prompt: int, n_ctx: int) -> None:
    if n < 1:
        raise PromptError(f"The answer is to have {n} tokens; ask for at least one.")
    _check_length(n_prompt + n - 1, n_ctx)


def _check_length(n: int, n_ctx: int) -> None:
    if n > n_ctx:
        raise PromptError(
            f"Prompt and answer have {n} tokens that are read, the last one of the answer not "
            f"among them; the model reads at most {n_ctx}. Shorten them by {n - n_ctx}."
        )


def _continued(replacement: ReplacementModel, token_ids: list[int], n: int) -> list[int]:
    """Return the likeliest tokens one after another, at most ``n``."""
    tokenizer, model = replacement.tokenizer, replacement.model
    added: list[int] = []
    while len(added) < n and tokenizer.separator_id not in added:
        with torch.no_grad():
            logits = model(model.tokens([*token_ids, *added]))[0, -1]
        # ids that pad a vocabulary have no text
        added.append(int(logits[: tokenizer.d_vocab].argmax()))
    return added
