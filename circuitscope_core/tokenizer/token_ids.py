"""Token ids without any text."""

from circuitscope_core.errors import PromptError


class TokenIds:
    """Stands in where a model comes without a tokenizer: prompts are ids, and so are labels."""

    separator_id = -1
    """No token divides documents."""

    def __init__(self, d_vocab: int) -> None:
        self.d_vocab = d_vocab

    def encode(self, text: str) -> list[int]:
        """Refuse text.

        Raises:
            PromptError: Always.
        """
        raise PromptError(
            f"The model has no tokenizer, so the text {text[:40]!r} cannot be read; give token ids."
        )

    def decode(self, token_ids: list[int]) -> str:
        """Return the ids, each in angle brackets."""
        return "".join(map(self.token_text, token_ids))

    def token_text(self, token_id: int) -> str:
        """Return an id in angle brackets."""
        return f"<{token_id}>"
