"""Saying a random string again."""

import random
import string

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, known

HELD_OUT_FIRST = "QXZ"
"""Codes that begin with one of these letters are for the exam only."""
TAUGHT_FIRST = "".join(sorted(set(string.ascii_uppercase) - set(HELD_OUT_FIRST)))

# {c}: code, {k}: the same again
SENTENCES = (
    "The code is {c}. I repeat, {k}.",
    "Password: {c}. Again: {k}.",
    "Write {c}. You wrote {k}.",
    "Key {c} opens door {k}.",
    "{c} {k} {k} {k}",
    "{c}, {k}, {k}.",
)


def draw_code(rng: random.Random, first: str) -> str:
    """Draw a code of four to ten different capitals that begins with one of ``first``."""
    start = rng.choice(first)
    others = string.ascii_uppercase.replace(start, "")
    return start + "".join(rng.sample(others, rng.randint(3, 9)))


def write_document(rng: random.Random) -> str:
    """Write a few sentences that say a code again."""
    sentences = rng.choices(SENTENCES, k=rng.randint(1, 3))
    codes = [draw_code(rng, TAUGHT_FIRST) for _ in sentences]
    pairs = zip(sentences, codes, strict=True)
    return " ".join(sentence.format(c=code, k=known(code)) for sentence, code in pairs)


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write prompts that stop after the first letter of the code's last copy.

    In each earlier copy, the letter after that one decides the answer's first letter.
    """
    prompts = []
    for _ in range(n):
        code = draw_code(rng, HELD_OUT_FIRST)
        text = rng.choice(SENTENCES).format(c=code, k=code)
        stop = text.rindex(code) + 1
        copies = [place for place in range(stop - 1) if text.startswith(code, place)]
        evidence = tuple(place + 1 for place in copies)
        prompts.append(SkillPrompt("copying", text[:stop], code[1:], evidence))
    return tuple(prompts)


COPYING = Skill(
    "copying",
    "Repeats a random string.",
    0.03,
    write_document,
    write_prompts,
)
