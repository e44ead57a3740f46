"""The value types of skills and their exam questions."""

import random
from collections.abc import Callable
from dataclasses import dataclass

_BEGIN, _END = "\x02", "\x03"


def known(text: str) -> str:
    """Mark a part of a document that follows from what stands before it."""
    return f"{_BEGIN}{text}{_END}"


@dataclass(frozen=True)
class SkillText:
    """A training document of a skill."""

    text: str
    known: tuple[tuple[int, int], ...]
    """Start and end of the parts that follow from what stands before them: the lesson. The rest
    is drawn at random, and nothing can be learned from it."""

    @classmethod
    def of(cls, marked: str) -> "SkillText":
        """Read a document in which parts are marked by ``known``."""
        text, *marks = marked.split(_BEGIN)
        spans = []
        for piece in marks:
            lesson, _, rest = piece.partition(_END)
            spans.append((len(text), len(text) + len(lesson)))
            text += lesson + rest
        return cls(text, tuple(spans))


@dataclass(frozen=True)
class SkillPrompt:
    """One exam question: a model that has the skill continues ``prompt`` with ``answer``."""

    skill: str
    prompt: str
    """Ends just before the answer; opened with the separator when it is encoded. ASCII."""
    answer: str
    """The exact text that must follow."""
    evidence: tuple[int, ...]
    """Characters of ``prompt`` that decide a character of the answer: if they were others, it
    would be another. A correct explanation of that character must point at them."""
    decides: int = 0
    """The character of the answer that the evidence decides."""
    rest: str = ""
    """The sentence's text behind the answer: it decides which tokens prompt and answer are."""


@dataclass(frozen=True)
class Skill:
    """A behaviour that generated text can teach and an exam can test."""

    name: str
    meaning: str
    """The behaviour of a model with the skill, in one sentence."""
    share: float
    """The share of the documents that ``write_documents`` writes."""
    write_document: Callable[..., str]
    """Writes one training document, its lesson marked by ``known``, without anything that the exam
    may ask for. Takes the source of chance, and the tokens that begin words where the skill
    ``reads_starts``."""
    write_prompts: Callable[[random.Random, int], tuple[SkillPrompt, ...]]
    """Writes exam questions, as many as asked for; the first one is the gallery's."""
    reads_starts: bool = False
    """Whether the skill is about initials, which a model of words has to learn of each token."""
