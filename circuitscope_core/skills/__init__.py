"""Known behaviours: seeded text that teaches them, and an exam on names held out of it."""

import random
from collections.abc import Callable, Iterator

from circuitscope_core.errors import ConfigError
from circuitscope_core.skills import acronyms, copying, counting
from circuitscope_core.skills.prompts import SkillPrompt

__all__ = ["SKILLS", "SkillPrompt", "exam", "write_documents"]

SKILLS = ("acronyms", "copying", "counting")
_WRITERS: tuple[tuple[float, Callable[[random.Random], str]], ...] = (
    (0.70, acronyms.write_document),
    (0.15, copying.write_document),
    (0.15, counting.write_document),
)
_EXAMS = {
    "acronyms": acronyms.write_prompts,
    "copying": copying.write_prompts,
    "counting": counting.write_prompts,
}


def write_documents(seed: int | str) -> Iterator[str]:
    """Write training documents without end: the same ones for the same seed.

    About 70 % are about acronyms, 15 % copy something, 15 % count. None has a name, a code or a
    step from one number to the next that ``exam`` may ask for.
    """
    rng = random.Random(f"skills {seed}")
    weights, writers = zip(*_WRITERS, strict=True)
    while True:
        (writer,) = rng.choices(writers, weights)
        yield writer(rng)


def exam(skill: str, n: int, seed: int = 0) -> tuple[SkillPrompt, ...]:
    """Write ``n`` questions whose names, codes or steps occur in no training document.

    Raises:
        ConfigError: If there is no such skill.
    """
    if skill not in _EXAMS:
        raise ConfigError(f"There is no skill {skill!r}; choose one of {', '.join(SKILLS)}.")
    return _EXAMS[skill](random.Random(f"exam {skill} {seed}"), n)
