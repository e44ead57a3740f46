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
HELD_OUT_ONE_IN = 10


def is_held_out(start: int, step: int) -> bool:
    """Whether a run of numbers is for the exam only."""
    return (7 * start + step) % HELD_OUT_ONE_IN == 0


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
    while is_held_out(*(run := draw_run(rng))):
        pass
    return join_run(*run, rng.randint(4, 12), rng) + "."


def join_run(start: int, step: int, n: int, rng: random.Random) -> str:
    """Write ``n`` numbers with one of a few separators."""
    separator = rng.choice((", ", ", ", " ", "\n", "; "))
    return separator.join(str(start + number * step) for number in range(n))


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write prompts that stop before a run's last number."""
    prompts: list[SkillPrompt] = []
    while len(prompts) < n:
        start, step = draw_run(rng)
        if not is_held_out(start, step):
            continue
        length = rng.randint(4, 8)
        text = ", ".join(str(start + number * step) for number in range(length)) + ", "
        prompts.append(SkillPrompt("counting", text, str(start + length * step)))
    return tuple(prompts)
