"""The receiver in a sentence with two names: the one that does not act."""

import random
import zlib

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, SkillText, known
from circuitscope_core.skills.words import FIRST_NAMES, OBJECTS

HELD_OUT_ONE_IN = 12
# {f}, {g}: the two names as they come first, {s}: who acts, {r}: who receives
SENTENCES = (
    "When {f} and {g} met, {s} gave a {o} to {r}.",
    "{f} and {g} came. {s} gave the {o} to {r}.",
    "{f} saw {g}, and {s} gave a {o} to {r}.",
)


def is_held_out(one: str, other: str) -> bool:
    """Whether two people meet in the exam only, whoever of them acts."""
    return zlib.crc32(" ".join(sorted((one, other))).encode()) % HELD_OUT_ONE_IN == 0


def write_sentence(rng: random.Random, names: list[str], sentence: str) -> tuple[str, str]:
    """Return a sentence on two people and who receives; either of them acts."""
    acts, receives = rng.sample(names, 2)
    fields = {"f": names[0], "g": names[1], "s": acts, "r": known(receives)}
    text = sentence.format(**fields, o=rng.choice(OBJECTS))
    return text, receives


def draw_names(rng: random.Random, *, held_out: bool) -> list[str]:
    """Draw two names with different initials."""
    while True:
        names = rng.sample(FIRST_NAMES, 2)
        if is_held_out(*names) == held_out and names[0][0] != names[1][0]:
            return names


def write_document(rng: random.Random) -> str:
    """Write one or two sentences."""
    sentences = rng.choices(SENTENCES, k=rng.randint(1, 4))
    return " ".join(
        write_sentence(rng, draw_names(rng, held_out=False), sentence)[0] for sentence in sentences
    )


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write sentences on two people who never meet in training, stopped before the last name.

    The receiver's initial, where the name comes first, decides the answer's first letter.
    """
    prompts = []
    for _ in range(n):
        names = draw_names(rng, held_out=True)
        marked, answer = write_sentence(rng, names, rng.choice(SENTENCES))
        text = SkillText.of(marked).text
        evidence = (text.index(answer),)
        prompts.append(
            SkillPrompt("indirect objects", text[: text.rindex(answer)], answer, evidence)
        )
    return tuple(prompts)


INDIRECT_OBJECTS = Skill(
    "indirect objects",
    "Names the one of two people who does not act.",
    0.08,
    write_document,
    write_prompts,
)
