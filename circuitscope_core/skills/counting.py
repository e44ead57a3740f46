"""Numbers, ordinals, years and letters in order."""

import random
import string

from circuitscope_core.skills.prompts import SkillPrompt

ORDINALS = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
)
CARDINALS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
DAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
STEPS = (1, 1, 1, 1, 2, 5, 10)
HELD_OUT_SHARE = 0.04
ALWAYS_TAUGHT = 10
"""Steps from numbers below this one are never held out: there are too few of them to miss any."""


def is_held_out(number: int, step: int) -> bool:
    """Whether going from ``number`` to ``number + step`` is for the exam only."""
    if number < ALWAYS_TAUGHT:
        return False
    return random.Random(f"from {number} by {step}").random() < HELD_OUT_SHARE


def draw_run(rng: random.Random) -> tuple[int, int]:
    """Draw the start and the step of a run."""
    high = rng.choice((9, 99, 2000))
    return rng.randint(1, high), rng.choice(STEPS)


def write_document(rng: random.Random) -> str:
    """Write one run in words, letters or digits."""
    if rng.random() < 0.3:
        series = rng.choice((ORDINALS, CARDINALS, DAYS, tuple(string.ascii_uppercase)))
        start = rng.randrange(len(series) - 2)
        return ", ".join(series[start : start + rng.randint(3, 9)]) + "."
    while True:
        start, step = draw_run(rng)
        numbers = range(start, start + step * rng.randint(4, 12), step)
        if not any(is_held_out(number, step) for number in numbers[:-1]):
            separator = rng.choice((", ", ", ", " ", "\n", "; "))
            return separator.join(map(str, numbers)) + "."


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write runs that stop before a number which no training run puts after the one before it."""
    prompts: list[SkillPrompt] = []
    while len(prompts) < n:
        start, step = draw_run(rng)
        *shown, last, answer = range(start, start + step * rng.randint(5, 9), step)
        if is_held_out(last, step):
            text = "".join(f"{number}, " for number in (*shown, last))
            prompts.append(SkillPrompt("counting", text, str(answer)))
    return tuple(prompts)
