"""Known behaviours: seeded text that teaches them, and an exam on what is held out of it."""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from circuitscope_core.arguments import checked
from circuitscope_core.errors import ConfigError
from circuitscope_core.skills import acronyms, calendar, capitals, words
from circuitscope_core.skills.acronyms import ACRONYMS
from circuitscope_core.skills.articles import ARTICLES
from circuitscope_core.skills.brackets import BRACKETS
from circuitscope_core.skills.calendar import CALENDAR
from circuitscope_core.skills.capitals import CAPITALS
from circuitscope_core.skills.copying import COPYING
from circuitscope_core.skills.counting import COUNTING
from circuitscope_core.skills.indirect_objects import INDIRECT_OBJECTS
from circuitscope_core.skills.plurals import PLURALS
from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, SkillText

__all__ = ["SKILLS", "Skill", "SkillPrompt", "SkillText", "exam", "whole_words", "write_documents"]

_ALL = (
    ACRONYMS,
    COPYING,
    BRACKETS,
    COUNTING,
    CALENDAR,
    ARTICLES,
    PLURALS,
    CAPITALS,
    INDIRECT_OBJECTS,
)
SKILLS = {skill.name: skill for skill in _ALL}
"""Every skill by its name, in the order in which they are shown."""


def write_documents(seed: int | str, starts: Sequence[str] = ()) -> Iterator[SkillText]:
    """Write training documents without end: the same ones for the same seed.

    Each skill has its share of them. None has anything in it that ``exam`` may ask for.

    Args:
        seed: Decides the documents.
        starts: Capitalised words and beginnings of words that are tokens of the model, whose
            initials acronyms and articles then teach; none for a model of bytes.
    """
    rng = random.Random(f"skills {seed}")
    skills = list(SKILLS.values())
    shares = list(accumulate(skill.share for skill in skills))
    while True:
        (skill,) = rng.choices(skills, cum_weights=shares)
        given = (starts,) if skill.reads_starts else ()
        yield SkillText.of(skill.write_document(rng, *given))


def whole_words() -> tuple[str, ...]:
    """Return the words of skill sentences that a learned vocabulary has as whole tokens, sorted."""
    names = (*acronyms.EXAMPLE_NAME, *words.ORGANISATION_WORDS, *words.LAST_WORDS)
    people = (*words.FIRST_NAMES, *words.PLACES, *words.OBJECTS)
    facts = (*capitals.CAPITAL_OF, *capitals.CAPITAL_OF.values(), *calendar.DAYS, *calendar.MONTHS)
    return tuple(sorted({*names, *people, *facts}))


@checked
def exam(skill: str, n: int, seed: int = 0) -> tuple[SkillPrompt, ...]:
    """Write ``n`` questions on names and numbers that occur in no training document.

    Raises:
        ConfigError: If there is no such skill, or ``n`` is below 1.
    """
    if n < 1:
        raise ConfigError(f"n is {n}; ask for at least one question.")
    if skill not in SKILLS:
        raise ConfigError(f"There is no skill {skill!r}; choose one of {', '.join(SKILLS)}.")
    return SKILLS[skill].write_prompts(random.Random(f"exam {skill} {seed}"), n)
