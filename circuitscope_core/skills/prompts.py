"""The value type of exam questions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SkillPrompt:
    """One exam question: a model that has the skill continues ``prompt`` with ``answer``."""

    skill: str
    prompt: str
    """Ends just before the answer; opened with the separator when it is encoded."""
    answer: str
    """The exact text that must follow."""
