"""The questions that the other rooms ask of a tokenizer, and the words for tokens."""

from typing import Protocol, runtime_checkable

SEPARATOR = "<|endoftext|>"


@runtime_checkable
class Tokenizer(Protocol):
    """A tokenizer, as far as the other rooms know it."""

    @property
    def d_vocab(self) -> int:
        """Number of token ids."""

    @property
    def separator_id(self) -> int:
        """Id of the token that opens prompts and divides documents."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, without a separator."""

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of ``token_ids``; broken UTF-8 becomes U+FFFD."""

    def token_text(self, token_id: int) -> str:
        """Return one token as text; a lone byte of a longer character as ``\\xe2``."""


def show(text: str) -> str:
    """Return text with line ends, tabs and outer spaces made visible."""
    shown = text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")
    return shown if shown.strip() == shown else shown.replace(" ", "␣")


def token_label(text: str) -> str:
    """Return a token's text with line ends and lone spaces visible, and the separator by name."""
    return "start" if text == SEPARATOR else show(text)


def output_name(text: str, *, is_token: bool) -> str:
    """Return the words for an output: a token in quotes, or whatever else is explained."""
    return f"“{show(text)}”" if is_token else text.replace("\n", "⏎")
