"""Plurals by the singular's last letters."""

import random
import zlib

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, known
from circuitscope_core.skills.words import LAST_WORDS, OBJECTS, SYLLABLES

HISSING = ("s", "x", "z", "ch", "sh")
IRREGULAR = frozenset(["knife", "leaf", "scarf", "shelf", "headquarters", "corps", "staff"])
_MORE_NOUNS = """
baby beach berry body branch brush bus bush butterfly candy century cherry church circus class copy
country county couch cross daisy dictionary dish dress duty fairy family fly fox gas glass grass
guess inch jelly kiss lady lens lunch match memory patch peach penny pony porch puppy ranch reply
sandwich sky spy stitch story strawberry switch tax tray watch wish witch
"""
# {s}: a singular, {p}: its plural
SENTENCES = ("One {s}, two {p}.", "This {s}, those {p}.", "A {s} and {p}.")
ENDINGS = (
    ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "t"),
    ("ss", "x", "ch", "sh", "s"),
    ("by", "dy", "ly", "my", "ny", "py", "ry", "ty"),
)
"""Endings of made-up nouns, for each kind of plural."""
KINDS = (0.4, 0.8, 1.0)
"""How often nouns with s, with s or es, and with any plural are drawn."""


def plural_of(noun: str) -> str:
    """Return the plural of a regular noun."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(HISSING) else f"{noun}s"


def kind_of(noun: str) -> str:
    """Return the ending that makes the plural."""
    return plural_of(noun)[len(stem_of(noun)) :]


def stem_of(noun: str) -> str:
    """Return what singular and plural have in common."""
    return noun[:-1] if plural_of(noun).endswith("ies") and noun.endswith("y") else noun


def is_held_out(noun: str) -> bool:
    """Whether a noun is for the exam only."""
    return zlib.crc32(f"plural {noun}".encode()) % 5 == 0


_NOUNS = sorted(
    {noun.lower() for noun in (*LAST_WORDS, *OBJECTS, *_MORE_NOUNS.split())} - IRREGULAR
)
_BY_KIND = {
    held_out: [
        [noun for noun in _NOUNS if is_held_out(noun) == held_out and kind_of(noun) == kind]
        for kind in ("s", "es", "ies")
    ]
    for held_out in (True, False)
}


def draw_noun(rng: random.Random, *, held_out: bool) -> str:
    """Draw a noun of a kind; to teach, every other one is made up."""
    (kind,) = rng.choices(range(3), cum_weights=KINDS)
    if held_out or rng.random() < 0.5:
        return rng.choice(_BY_KIND[held_out][kind])
    while is_held_out(
        noun := rng.choice(SYLLABLES) + rng.choice(SYLLABLES) + rng.choice(ENDINGS[kind])
    ):
        pass
    return noun


def write_document(rng: random.Random) -> str:
    """Write a few sentences."""
    nouns = [draw_noun(rng, held_out=False) for _ in range(rng.randint(2, 6))]
    return " ".join(
        rng.choice(SENTENCES).format(s=noun, p=known(plural_of(noun))) for noun in nouns
    )


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write prompts that stop where the plural leaves the singular of a noun never taught.

    The singular's last letter decides the ending, for ``y`` with the one before it.
    """
    prompts = []
    for _ in range(n):
        noun = draw_noun(rng, held_out=True)
        text = rng.choice(SENTENCES).format(s=noun, p=plural_of(noun))
        stop = text.rindex(plural_of(noun)) + len(stem_of(noun))
        end = text.index(noun) + len(noun)
        evidence = (end - 2, end - 1)
        prompts.append(SkillPrompt("plurals", text[:stop], kind_of(noun), evidence))
    return tuple(prompts)


PLURALS = Skill(
    "plurals",
    "Ends a plural as its singular demands.",
    0.12,
    write_document,
    write_prompts,
)
