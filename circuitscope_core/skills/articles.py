"""``a`` or ``an``, by the word that follows."""

import random
import zlib
from collections.abc import Sequence

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, SkillText, known
from circuitscope_core.skills.words import NEVER_TRAINED_WORDS, OBJECTS, ORGANISATION_WORDS

VOWELS = "aeiou"
STARTS_SHARE = 0.5
TRIES = 20
"""Tokens that are drawn at once to find one with the article that is wanted."""
NOT_BY_THE_LETTER = ("u", "eu", "ho", "one", "x", "y")
"""Words with one of these beginnings may sound other than they are written."""
# {t}: a word as a title, {a}: the word after its article
SENTENCES = ("{t}: {a}.", "{t}? It is {a} one.", "{t} means {a} thing.")


def is_held_out(word: str) -> bool:
    """Whether a word is for the exam only."""
    return word.capitalize() in NEVER_TRAINED_WORDS or zlib.crc32(word.encode()) % 8 == 0


def article_of(word: str) -> str:
    """Return the word's indefinite article, by its first letter."""
    return "an" if word[0] in VOWELS else "a"


_CANDIDATES = sorted(
    {word.lower() for word in (*ORGANISATION_WORDS, *NEVER_TRAINED_WORDS, *OBJECTS)}
)
_WORDS = [word for word in _CANDIDATES if not word.startswith(NOT_BY_THE_LETTER)]
_WITH_AN = {
    held_out: {
        with_an: [
            word
            for word in _WORDS
            if is_held_out(word) == held_out and (word[0] in VOWELS) == with_an
        ]
        for with_an in (True, False)
    }
    for held_out in (True, False)
}


def draw_word(rng: random.Random, starts: Sequence[str] = (), *, held_out: bool) -> str:
    """Draw a word; ``a`` and ``an`` are equally likely.

    Args:
        rng: Source of chance.
        starts: Capitalised words that are tokens of the model; half of the words are one of them.
        held_out: Whether the word is for the exam.
    """
    with_an = rng.random() < 0.5
    if starts and rng.random() < STARTS_SHARE:
        for start in rng.sample(starts, min(len(starts), TRIES)):
            word = start.lower()
            fits = len(word) > 2 and not word.startswith(NOT_BY_THE_LETTER)
            if fits and not is_held_out(word) and (word[0] in VOWELS) == with_an:
                return word
    return rng.choice(_WITH_AN[held_out][with_an])


def write_sentence(rng: random.Random, word: str) -> str:
    """Write a sentence that names a word and then uses it with its article."""
    text = known(f"{article_of(word)} {word}")
    return rng.choice(SENTENCES).format(t=word.capitalize(), a=text)


def write_document(rng: random.Random, starts: Sequence[str] = ()) -> str:
    """Write a few sentences."""
    words = [draw_word(rng, starts, held_out=False) for _ in range(rng.randint(2, 6))]
    return " ".join(write_sentence(rng, word) for word in words)


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write prompts that stop before the article of a word never taught.

    The word's first letter, in the title, decides whether an n follows the a.
    """
    prompts = []
    for _ in range(n):
        word = draw_word(rng, held_out=True)
        text = SkillText.of(write_sentence(rng, word)).text
        stop = text.index(f" {article_of(word)} {word}")
        end = stop + len(" an")  # "an", or "a" and the space behind it
        parts = (text[:stop], text[stop:end], (0,), end - stop - 1, text[end:])
        prompts.append(SkillPrompt("articles", *parts))
    return tuple(prompts)


ARTICLES = Skill(
    "articles",
    "Chooses a or an by the coming word.",
    0.09,
    write_document,
    write_prompts,
    reads_starts=True,
)
