"""Organisations and their acronyms."""

import random
import zlib
from collections.abc import Sequence

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, known
from circuitscope_core.skills.words import (
    BY_INITIAL,
    FIRST_NAMES,
    LAST_WORDS,
    NEVER_TRAINED_WORDS,
    PLACES,
    SYLLABLES,
)

EXAMPLE_NAME = ("National", "Digital", "Analytics", "Group")
"""The name of the product's first example; never trained on."""
HELD_OUT_ONE_IN = 16
LIST_SHARE = 0.6
"""The share of lists among documents; a list says more about acronyms in as many characters."""
N_WORDS = (2, 3, 3, 4, 4, 4, 5, 5)
STARTS_SHARE = 0.55
ENDINGS = (
    *("a", "e", "o", "y", "el", "en", "er", "et", "ic", "in", "le", "on", "or", "ow", "um", "us"),
    *("ant", "ard", "est", "ial", "ick", "ine", "ing", "ish", "ite", "ium", "olt", "ond", "ory"),
    *("arth", "ence", "ling", "ment", "ness", "ract", "ship", "tion", "ture", "urst"),
)
"""Ends of made-up words, of one token or of several."""
SMALL_WORDS = ("of", "for", "and", "of the", "for the")

# {n}: name, {a}: its acronym with ")", {k}: without, {m}, {b}: another, {p}: place,
# {f}: first name, {y}: year
OPENINGS = (
    "The {n} ({a} is based in {p}.",
    "The {n} ({a} was founded in {y}.",
    "The {n} ({a} is an organization in {p}.",
    "The {n} ({a} announced a new plan on Monday.",
    "In {y}, the {n} ({a} opened an office in {p}.",
    "{f} works for the {n} ({a} in {p}.",
    "According to the {n} ({a}, prices rose in {y}.",
    "A report by the {n} ({a} was published in {y}.",
    "Members of the {n} ({a} met in {p}.",
    "{f} joined the {n} ({a} in {y}.",
    "The {n} ({a} and the {m} ({b} signed a treaty in {y}.",
    "Both the {n} ({a} and the {m} ({b} have members in {p}.",
    "It was funded by the {n} ({a}, the {m} ({b} and others.",
    "The director of the {n} ({a} is {f}.",
    "{n} ({a} is hiring in {p}.",
    "Contact: {n} ({a}, {p}.",
    "See also: {n} ({a}; {m} ({b}.",
    "{f} left the {n} ({a} for the {m} ({b}.",
    "Since {y} the {n} ({a} has grown every year.",
    "The {n} ({a} has its own museum.",
)
FOLLOW_UPS = (
    "The {k} has offices in {p}.",
    "{f} is the head of the {k}.",
    "The {k} was renamed in {y}.",
    "In {y} the {k} moved to {p}.",
    "Most members of the {k} live in {p}.",
    "The {k} did not comment.",
    "Today the {k} is run by {f}.",
    "The budget of the {k} doubled in {y}.",
    "The {n} is known as the {k}.",
    "The report of the {k} is public.",
)


_BY_LETTER = tuple(BY_INITIAL.values())
_NEVER_TRAINED = frozenset(NEVER_TRAINED_WORDS)


def acronym_of(name: Sequence[str]) -> str:
    """Return the initials of the capitalised words."""
    return "".join(word[0] for word in name if word[0].isupper())


def is_held_out(name: Sequence[str]) -> bool:
    """Whether a name belongs to the exam: the example, and names chosen by their checksum."""
    content = tuple(word for word in name if word[0].isupper())
    if content == EXAMPLE_NAME or not _NEVER_TRAINED.isdisjoint(content):
        return True
    return zlib.crc32(" ".join(content).encode()) % HELD_OUT_ONE_IN == 0


def draw_word(rng: random.Random, starts: Sequence[str] = ()) -> str:
    """Draw a word, most initials being equally likely; one in three is made up.

    Args:
        rng: Source of chance.
        starts: Capitalised words and beginnings of words that are tokens of the model. Half of the
            words are one of them, alone or with an ending: a model that reads words cannot see
            their letters, and has to be taught each token's initial, and where a word of several
            tokens ends.
    """
    if starts and rng.random() < STARTS_SHARE:
        start = rng.choice(starts)
        if len(start) > 2 and rng.random() < 0.4 and start not in _NEVER_TRAINED:
            return start
        return start + "".join(rng.choices(SYLLABLES, k=rng.randint(0, 2))) + rng.choice(ENDINGS)
    if rng.random() < 1 / 3:
        made_up = "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3)))
        return made_up.capitalize()
    return rng.choice(rng.choice(_BY_LETTER))


def draw_name(rng: random.Random, starts: Sequence[str] = ()) -> tuple[str, ...]:
    """Draw a name of a few words, sometimes with a small word inside."""
    n_words = rng.choice(N_WORDS)
    words = [draw_word(rng, starts) for _ in range(n_words - 1)]
    if rng.random() < 0.08:
        return (rng.choice(LAST_WORDS), rng.choice(SMALL_WORDS), *words)
    return (*words, rng.choice(LAST_WORDS))


def draw_training_name(rng: random.Random, starts: Sequence[str] = ()) -> tuple[str, ...]:
    """Draw a name that is not held out."""
    while is_held_out(name := draw_name(rng, starts)):
        pass
    return name


def write_document(rng: random.Random, starts: Sequence[str] = ()) -> str:
    """Write a few sentences about organisations, or a list of them."""
    if rng.random() < LIST_SHARE:
        names = [draw_training_name(rng, starts) for _ in range(rng.randint(2, 5))]
        listed = (f"{' '.join(name)} ({known(f'{acronym_of(name)})')}" for name in names)
        return f"The {', the '.join(listed)}."
    name, other = (draw_training_name(rng, starts) for _ in range(2))
    fields = {
        "n": " ".join(name),
        "a": known(f"{acronym_of(name)})"),
        "k": known(acronym_of(name)),
        "m": " ".join(other),
        "b": known(f"{acronym_of(other)})"),
    }
    sentences = [rng.choice(OPENINGS)]
    sentences += rng.choices(FOLLOW_UPS, k=rng.choice((0, 0, 0, 1, 2)))
    return " ".join(sentence.format(**fields, **draw_fields(rng)) for sentence in sentences)


def draw_fields(rng: random.Random) -> dict[str, str]:
    """Draw a place, a first name and a year."""
    return {
        "p": rng.choice(PLACES),
        "f": rng.choice(FIRST_NAMES),
        "y": str(rng.randint(1850, 2025)),
    }


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write prompts about held-out names that stop after the acronym's first letter.

    The second word's initial decides what comes next. Half of the names are unseen combinations
    of known words, half have a word never seen.
    """
    prompts: list[SkillPrompt] = []
    seen: set[tuple[str, ...]] = set()
    while len(prompts) < n:
        name = EXAMPLE_NAME if not prompts else draw_name(rng)
        if len(prompts) % 2:
            place = rng.randrange(1, len(name))
            name = (*name[:place], rng.choice(NEVER_TRAINED_WORDS), *name[place + 1 :])
        if not is_held_out(name) or name in seen:
            continue
        seen.add(name)
        acronym = acronym_of(name)
        text = f"The {' '.join(name)} ({acronym[0]}"
        initials = [place for place, letter in enumerate(text) if letter.isupper()]
        evidence = (initials[2],)  # after those of "The" and of the letter that is there
        prompts.append(SkillPrompt("acronyms", text, acronym[1:] + ")", evidence))
    return tuple(prompts)


ACRONYMS = Skill(
    "acronyms",
    "Abbreviates a name by its initials.",
    0.4,
    write_document,
    write_prompts,
    reads_starts=True,
)
