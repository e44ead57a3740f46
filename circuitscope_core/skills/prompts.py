"""The value types of skills and their exam questions."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class SkillPrompt:
    """One exam question: a model that has the skill continues ``prompt`` with ``answer``."""

    skill: str
    prompt: str
    """Ends just before the answer; opened with the separator when it is encoded. ASCII."""
    answer: str
    """The exact text that must follow."""
    evidence: tuple[int, ...]
    """Characters of ``prompt`` that decide the answer's first character: if they were others, it
    would be another. A correct explanation of that character must point at them."""


@dataclass(frozen=True)
class Skill:
    """A behaviour that generated text can teach and an exam can test."""

    name: str
    meaning: str
    """What a model with the skill does, in one sentence."""
    share: float
    """Of the documents that ``write_documents`` writes."""
    write_document: Callable[[random.Random], str]
    """Writes one training document, without anything that the exam may ask for."""
    write_prompts: Callable[[random.Random, int], tuple[SkillPrompt, ...]]
    """Writes so many exam questions; the first one is the gallery's."""
