"""Numbers one after the other."""

import random
from functools import cache

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, known

HIGHEST = (20, 99, 99, 99, 199)
HELD_OUT_SHARE = 0.08
ALWAYS_TAUGHT = 10
"""Numbers below this one are never held out: there are too few of them to miss any."""
SEPARATORS = (", ", ", ", ", ", " ", "\n", "; ")


@cache  # seeding a generator takes as long as writing a sentence
def is_held_out(number: int) -> bool:
    """Whether going on from ``number`` is for the exam only."""
    if number < ALWAYS_TAUGHT:
        return False
    return random.Random(f"from {number} by 1").random() < HELD_OUT_SHARE


def draw_run(rng: random.Random, lengths: tuple[int, int]) -> range:
    """Draw numbers one after the other."""
    start = rng.randint(1, rng.choice(HIGHEST))
    return range(start, start + rng.randint(*lengths))


def write_document(rng: random.Random) -> str:
    """Write one run of numbers without a step that is held out."""
    while True:
        numbers = draw_run(rng, (4, 16))
        if not any(is_held_out(number) for number in numbers[:-1]):
            separator = rng.choice(SEPARATORS)
            first, *rest = map(str, numbers)
            return f"{first}{separator}{known(separator.join(rest))}."


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write runs that stop before a number which no training run puts after the one before it.

    The answer's first digit is decided by the whole last number.
    """
    prompts: list[SkillPrompt] = []
    while len(prompts) < n:
        *shown, last, answer = draw_run(rng, (5, 9))
        if is_held_out(last):
            text = "".join(f"{number}, " for number in (*shown, last))
            end = len(text) - len(", ")
            evidence = tuple(range(end - len(str(last)), end))
            prompts.append(SkillPrompt("counting", text, str(answer), evidence))
    return tuple(prompts)


COUNTING = Skill(
    "counting",
    "Goes on with the next number.",
    0.1,
    write_document,
    write_prompts,
)
