"""Saying again what was said before."""

import random
import string

from circuitscope_core.skills.prompts import SkillPrompt
from circuitscope_core.skills.words import FIRST_NAMES, OBJECTS, PLACES

HELD_OUT_FIRST = "qxz"
"""Codes that begin with one of these letters are for the exam only."""

# {c}: code, {f}, {g}: names, {o}: object, {p}: place
SENTENCES = (
    "The code is {c}. I repeat, the code is {c}.",
    "Password: {c}. Again: {c}.",
    "Write down {c}. You wrote {c}.",
    "Key {c} opens door {c}.",
    "{f} said: {c}. And {g} said: {c}.",
    "{f} has a {o}. The {o} of {f} is in {p}.",
    "{f} gave the {o} to {g}. Now {g} has the {o}.",
    "{f} lives in {p}. People in {p} know {f}.",
    "Say {o}: {o}. Say {p}: {p}. Say {f}: {f}.",
    "{o}, {p}, {f}; {o}, {p}, {f}.",
    "From {p} to {p}, {f} and {g}, {f} and {g}.",
)
EXAM_SENTENCES = tuple(sentence for sentence in SENTENCES if sentence.count("{c}") == 2)


def draw_code(rng: random.Random, first: str) -> str:
    """Draw a code of three to seven letters or digits that begins with one of ``first``."""
    letters = string.ascii_lowercase if rng.random() < 0.7 else string.digits
    rest = "".join(rng.choices(letters, k=rng.randint(2, 6)))
    return rng.choice(first) + rest


def draw_fields(rng: random.Random) -> dict[str, str]:
    """Draw two names, an object and a place."""
    one, other = rng.sample(FIRST_NAMES, 2)
    return {"f": one, "g": other, "o": rng.choice(OBJECTS), "p": rng.choice(PLACES)}


def write_document(rng: random.Random) -> str:
    """Write one to three sentences that say something twice."""
    allowed = "".join(sorted(set(string.ascii_lowercase) - set(HELD_OUT_FIRST)))
    sentences = rng.choices(SENTENCES, k=rng.randint(1, 3))
    return " ".join(
        sentence.format(c=draw_code(rng, allowed), **draw_fields(rng)) for sentence in sentences
    )


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write prompts that stop after the second copy's first letter."""
    prompts = []
    for _ in range(n):
        code = draw_code(rng, HELD_OUT_FIRST)
        text = rng.choice(EXAM_SENTENCES).format(c=code, **draw_fields(rng))
        place = text.rindex(code) + 1
        prompts.append(SkillPrompt("copying", text[:place], code[1:]))
    return tuple(prompts)
