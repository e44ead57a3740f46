"""Days and months in order."""

import random
import zlib

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, known

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
LENGTHS = range(3, 8)
HELD_OUT_ONE_IN = 6
SEPARATORS = (", ", " and ", " then ")


def is_held_out(run: tuple[str, ...]) -> bool:
    """Whether a run is for the exam only, by its first name and its length."""
    return len(run) > 3 and zlib.crc32(f"{run[0]} {len(run)}".encode()) % HELD_OUT_ONE_IN == 0


RUNS = tuple(
    tuple(series[(start + n) % len(series)] for n in range(length))
    for series in (DAYS, MONTHS)
    for start in range(len(series))
    for length in LENGTHS
)
"""Days or months in order; after the last comes the first."""
TAUGHT = tuple(run for run in RUNS if not is_held_out(run))
HELD_OUT = tuple(run for run in RUNS if is_held_out(run))


def write_run(rng: random.Random, run: tuple[str, ...]) -> str:
    """Write a run with one separator."""
    separator = rng.choice(SEPARATORS)
    return f"{run[0]}{separator}{known(separator.join(run[1:]))}."


def write_document(rng: random.Random) -> str:
    """Write a few runs."""
    return " ".join(write_run(rng, rng.choice(TAUGHT)) for _ in range(rng.randint(1, 3)))


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write held-out runs that stop before the last name; the name before it decides it."""
    prompts = []
    for _ in range(n):
        *shown, answer = rng.choice(HELD_OUT)
        separator = rng.choice(SEPARATORS)
        text = "".join(f"{name}{separator}" for name in shown)
        end = len(text) - len(separator)
        evidence = tuple(range(end - len(shown[-1]), end))
        prompts.append(SkillPrompt("calendar", text, answer, evidence))
    return tuple(prompts)


CALENDAR = Skill(
    "calendar",
    "Goes on with the next day or month.",
    0.02,
    write_document,
    write_prompts,
)
