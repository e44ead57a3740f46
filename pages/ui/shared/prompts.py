"""The tokens of a visitor's prompt: of a text, of a message, or typed as ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import circuitscope_core as cs
from circuitscope_core.tokenizer import (
    TokenIds,
    TokenKind,
    describe_opener,
    encode_text,
    has_chat_template,
    read_tokens,
)
from pages.ui.shared.state import State

Prompt: TypeAlias = str | tuple[int, ...]
"""A prompt as the core takes it: a text, or the ids of tokens."""


@dataclass(frozen=True)
class Reading:
    """A prompt's tokens as the Prompt page shows them."""

    texts: list[str]
    kinds: list[str]
    """Classes of each token's chip: its kind, and whether it is the template's."""
    n_tokens: int
    """Tokens of the whole prompt, which may be more than the model reads."""
    opener: str
    """A sentence on the token in front."""

    @property
    def n_split(self) -> int:
        """Number of characters that are read as several tokens."""
        return sum(
            TokenKind.PART in kind and text.rpartition(" ")[2].startswith("1/")
            for text, kind in zip(self.texts, self.kinds, strict=True)
        )


def is_chat(state: State, bundle: cs.Bundle) -> bool:
    """Tell whether the prompt is a message: where the visitor wants that and the model can."""
    return state.form == "chat" and has_chat_template(bundle.tokenizer)


def prompt_of(state: State, bundle: cs.Bundle) -> Prompt:
    """Return the prompt as the core takes it.

    Raises:
        PromptError: If the chat template fails, or ids were to be typed and were not.
    """
    if is_chat(state, bundle):
        return cs.chat_prompt(bundle, state.prompt).token_ids
    if isinstance(bundle.tokenizer, TokenIds):
        return read_ids(state.prompt)
    return state.prompt


def answer_of(state: State, bundle: cs.Bundle) -> str | int | tuple[int, ...]:
    """Return the answer that a state asks for: a text, ids, or a number of the model's own tokens.

    Raises:
        PromptError: If ids were to be typed and were not.
    """
    if not state.answer:
        return state.answer_tokens
    return read_ids(state.answer) if isinstance(bundle.tokenizer, TokenIds) else state.answer


def read_ids(text: str) -> tuple[int, ...]:
    """Return the ids in a text like ``0 1 2``.

    Raises:
        PromptError: If something else is there.
    """
    words = text.replace(",", " ").split()
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 10)]
    if wrong or not words:
        found = f"{wrong[0][:40]!r} is no token id" if wrong else "nothing was typed"
        raise cs.PromptError(
            f"This model has no tokenizer, so its prompts are token ids, and {found}. Type numbers "
            "with spaces between, like 0 1 2."
        )
    return tuple(map(int, words))


def read_prompt(state: State, bundle: cs.Bundle) -> Reading:
    """Return a prompt's tokens in words, as many as the model reads.

    Raises:
        PromptError: If there are none.
    """
    tokenizer = bundle.tokenizer
    if is_chat(state, bundle):
        chat = cs.chat_prompt(bundle, state.prompt)
        own = range(chat.n_prefix, len(chat.token_ids) - chat.n_suffix)
        said = (
            "Grey tokens are the model's chat template. The first token is a constant of the "
            "graph; all others can be nodes, grey ones too."
        )
        return _reading(chat.token_ids, bundle, own, said)
    given = prompt_of(state, bundle)
    if isinstance(given, tuple):
        return _reading(given, bundle, range(len(given)), "")
    ids = encode_text(tokenizer, given, closed=bundle.model.shape.mask_id is not None)
    said = f"{describe_opener(tokenizer)} It is a constant of every graph."
    return _reading(ids, bundle, range(len(ids)), said)


def _reading(ids: Sequence[int], bundle: cs.Bundle, own: range, opener: str) -> Reading:
    read = read_tokens(bundle.tokenizer, ids[: bundle.model.shape.n_ctx])
    kinds = [
        str(token.kind) if place in own else f"{token.kind} template"
        for place, token in enumerate(read)
    ]
    return Reading([token.text for token in read], kinds, len(ids), opener)
