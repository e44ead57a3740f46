"""The most likely next tokens, as the Prompt and Compare pages show them."""

from pages.ui.shared.models import ModelKey
from pages.ui.shared.prompts import Prompt
from pages.ui.shared.tables import draw_table, share, words
from pages.ui.shared.tracing import predict


def draw_prediction(
    key: ModelKey, prompt: Prompt, n: int = 8, *, name: str = "prompt_likely"
) -> None:
    """Draw the most likely next tokens.

    Args:
        key: The model.
        prompt: What they follow.
        n: How many, at most eight.
        name: Tells one table from another.
    """
    columns = {"text": words("Next token", "small"), "probability": share("Probability")}
    draw_table(predict(key, prompt)[:n], columns, key=name)
