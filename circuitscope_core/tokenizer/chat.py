"""Prompts as messages of a chat, in the words that a model was tuned on.

A chat template is a program that came with a model, and nobody here has read it. It runs in a
process of its own (``chat_process.py``), in the sandbox of Jinja that keeps it from Python's
attributes and from changing what it is given, for a few seconds, in little memory.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from circuitscope_core.errors import PromptError
from circuitscope_core.tokenizer.hugging_face import LONGEST_TEMPLATE, HuggingFaceTokenizer
from circuitscope_core.tokenizer.protocol import Tokenizer
from circuitscope_core.values import one_line

PROCESS = Path(__file__).resolve().with_name("chat_process.py")
SECONDS = 10
"""Longest time of the process, its start included."""
LONGEST_CHAT = 200_000
"""Characters of all messages, and of the text that a template makes of them."""
START, END = "\ue000", "\ue001"
"""Two characters without meaning, which stand around the text that shows where a message goes."""

TOO_MUCH = "it took too much time or memory"

Messages: TypeAlias = str | Sequence[Any]
"""A message of the user's, or several, each a dictionary with ``role`` and ``content``."""
Rows: TypeAlias = tuple[tuple[str, str], ...]
"""Role and content of each message."""


@runtime_checkable
class HasTokenizer(Protocol):
    """A bundle or a model, as far as its tokens are concerned."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""


@one_line
@dataclass(frozen=True)
class ChatPrompt:
    """A chat as a model reads it, up to where its answer begins."""

    token_ids: tuple[int, ...]
    n_prefix: int
    """Tokens before the text of the last message; the same for every text."""
    n_suffix: int
    """Tokens after it, up to the answer; the same for every text."""
    text: str
    """The text that the template made."""


def has_chat_template(tokenizer: Tokenizer) -> bool:
    """Tell whether a model says how messages are written."""
    return isinstance(tokenizer, HuggingFaceTokenizer) and bool(tokenizer.chat_template)


def chat_prompt(bundle: HasTokenizer, messages: Messages) -> ChatPrompt:
    """Write messages as the model's own chat template does, ready to be traced.

    The token at position 0 is a constant of the graph, as in any prompt: the opener, or the special
    token that the template begins with. All other tokens of the template are nodes.

    Args:
        bundle: A bundle or a Hugging Face model with a tokenizer.
        messages: A text of the user's, or dictionaries with ``role`` and ``content``.

    Raises:
        PromptError: If there is no template, it fails, or the messages are none.
    """
    tokenizer = bundle.tokenizer
    if not isinstance(tokenizer, HuggingFaceTokenizer) or not tokenizer.chat_template:
        raise PromptError(
            "The model has no chat template, so it was not tuned on messages. Give the prompt as "
            "plain text."
        )
    rows = _rows_of(messages)
    probe = (*rows[:-1], (rows[-1][0], f"{START}x{END}"))
    text, shown = render(tokenizer.chat_template, tokenizer.special_names, (rows, probe))
    return _tokens_of(tokenizer, text, shown)


def _rows_of(messages: Messages) -> Rows:
    """Return role and content of each message.

    Raises:
        PromptError: If there are none, one is empty, or they are too long.
    """
    given = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    rows = []
    for message in given:
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise PromptError(
                f"{str(message)[:60]!r} is no message; give a dictionary with role and content."
            )
        row = (message["role"], message["content"])
        if not all(isinstance(part, str) and part for part in row):
            raise PromptError(f"The message {str(row)[:60]} has no text; type at least one letter.")
        rows.append(row)
    if not rows:
        raise PromptError("There is no message. Give at least one.")
    if (length := sum(len(content) for _, content in rows)) > LONGEST_CHAT:
        raise PromptError(
            f"The messages have {length:,} characters; {LONGEST_CHAT:,} are the most."
        )
    return tuple(rows)


def _tokens_of(tokenizer: HuggingFaceTokenizer, text: str, shown: str) -> ChatPrompt:
    """Return the tokens of a chat, and how many of them are the template's at either end.

    Args:
        tokenizer: The model's.
        text: The chat.
        shown: The same with the mark in the place of the last message.
    """
    before, after = shown.partition(START)[0], shown.rpartition(END)[2]
    is_fixed = START in shown and text.startswith(before) and text.endswith(after)
    n_before, n_after = (len(before), len(after)) if is_fixed else (0, 0)
    token_ids, spans = tokenizer.encode_with_spans(text)
    n_prefix = sum(end <= n_before for _, end in spans)
    n_suffix = sum(start >= len(text) - n_after for start, _ in spans)
    if not token_ids or not tokenizer.is_special(token_ids[0]):
        token_ids, n_prefix = [tokenizer.separator_id, *token_ids], n_prefix + 1
    return ChatPrompt(tuple(token_ids), n_prefix, n_suffix, text)


def render(
    template: str, special: tuple[tuple[str, str], ...], chats: tuple[Rows, ...]
) -> tuple[str, ...]:
    """Return the texts that a template makes of some chats, each up to where the answer begins.

    Args:
        template: The source of the template.
        special: Names of special tokens and their texts, such as ``bos_token``.
        chats: Roles and contents of the messages of each chat.

    Raises:
        PromptError: If the template fails, is too long, or takes too long.
    """
    if len(template) > LONGEST_TEMPLATE:
        raise PromptError(
            f"The chat template has more than {LONGEST_TEMPLATE:,} characters and is not run. Give "
            "the prompt as plain text."
        )
    asked = {
        "template": template,
        "variables": dict(special),
        "chats": [[{"role": role, "content": text} for role, text in rows] for rows in chats],
        "longest": LONGEST_CHAT,
    }
    answer = _ask(json.dumps(asked))
    texts = answer.get("texts")
    if not isinstance(texts, list):
        reason = str(answer.get("error", "it gave no text"))[:200].rstrip(".")
        raise PromptError(
            f"The model's chat template cannot be used: {reason}. Give the prompt as plain text."
        )
    return tuple(map(str, texts))


@lru_cache(maxsize=64)
def _ask(asked: str) -> dict[str, Any]:
    """Return the answer of the process that runs the template.

    Raises:
        PromptError: If the process cannot be started, or the machine is too busy for it.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(PROCESS)],
            input=asked.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        found = json.loads(done.stdout or b"{}")
    except subprocess.TimeoutExpired as error:  # not kept: the machine may be less busy later
        raise PromptError(
            f"The model's chat template cannot be used: {TOO_MUCH}. Give the prompt as plain text."
        ) from error
    except (OSError, ValueError) as error:
        raise PromptError(
            f"The model's chat template was not run: {error}. Give the prompt as plain text."
        ) from error
    return found if isinstance(found, dict) and found else {"error": TOO_MUCH}
