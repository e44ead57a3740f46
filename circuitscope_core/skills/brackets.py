"""Closing brackets and quotes in the order opposite to that in which they were opened."""

import random
import zlib

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, SkillText, known
from circuitscope_core.skills.words import OBJECTS

CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">", '"': '"', "'": "'"}
DEPTHS = (1, 2, 2, 3, 3, 4)
HELD_OUT_ONE_IN = 8


def is_held_out(opened: str) -> bool:
    """Whether a run of opening signs is for the exam only; the short ones are all taught."""
    return len(opened) > 2 and zlib.crc32(opened.encode()) % HELD_OUT_ONE_IN == 0


def draw_opened(rng: random.Random) -> str:
    """Draw a few opening signs; a quote opens at most once, or it would close itself."""
    signs = list(CLOSING)
    opened = ""
    for _ in range(rng.choice(DEPTHS)):
        opened += rng.choice([sign for sign in signs if sign not in "\"'" or sign not in opened])
    return opened


def close(opened: str) -> str:
    """Return what closes a run of opening signs."""
    return "".join(CLOSING[sign] for sign in reversed(opened))


def write_group(rng: random.Random) -> str:
    """Write one letter in signs that are not held out."""
    while is_held_out(opened := draw_opened(rng)):
        pass
    return opened + rng.choice("abcdefghijklmnopqrstuvwxyz") + known(close(opened))


def write_document(rng: random.Random) -> str:
    """Write three to eight letters or words in brackets and quotes."""
    groups = [write_group(rng) for _ in range(rng.randint(3, 8))]
    if rng.random() < 0.3:
        sign = rng.choice(list(CLOSING))
        words = rng.sample(OBJECTS, 2)
        groups.insert(0, f"{words[0]} {sign}{words[1]}{known(CLOSING[sign])}")
    return f"{rng.choice((' ', ' ', ', ', ' + ')).join(groups)}."


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write prompts that stop at the letter inside held-out signs, after groups of taught ones."""
    prompts: list[SkillPrompt] = []
    while len(prompts) < n:
        opened = draw_opened(rng)
        if not is_held_out(opened):
            continue
        before = "".join(f"{write_group(rng)} " for _ in range(rng.randint(1, 3)))
        text = SkillText.of(before).text + opened + rng.choice("abcdefghijklmnopqrstuvwxyz")
        prompts.append(SkillPrompt("brackets", text, close(opened), (len(text) - 2,)))
    return tuple(prompts)


BRACKETS = Skill(
    "brackets",
    "Closes brackets and quotes in the opposite order.",
    0.07,
    write_document,
    write_prompts,
)
