"""Capitals of countries, as the CIA World Factbook names them."""

import random
import zlib

from circuitscope_core.skills.skill_prompts import Skill, SkillPrompt, known

_FACTS = """
Afghanistan:Kabul Algeria:Algiers Australia:Canberra Austria:Vienna Belgium:Brussels Bulgaria:Sofia
Canada:Ottawa Chile:Santiago China:Beijing Croatia:Zagreb Cuba:Havana Denmark:Copenhagen
Ecuador:Quito Egypt:Cairo Finland:Helsinki France:Paris Germany:Berlin Greece:Athens
Hungary:Budapest Iceland:Reykjavik Indonesia:Jakarta Iran:Tehran Iraq:Baghdad Ireland:Dublin
Italy:Rome Japan:Tokyo Kenya:Nairobi Lebanon:Beirut Morocco:Rabat Nepal:Kathmandu Norway:Oslo
Peru:Lima Poland:Warsaw Portugal:Lisbon Russia:Moscow Spain:Madrid Sweden:Stockholm Thailand:Bangkok
Turkey:Ankara Ukraine:Kyiv Venezuela:Caracas Vietnam:Hanoi
"""
CAPITAL_OF = dict(pair.split(":") for pair in _FACTS.split())
_COUNTRIES = tuple(CAPITAL_OF)
# {s}: country, {c}: its capital; each says "capital", or "Turkey: " would ask for an article too
SENTENCES = (
    "The capital of {s} is {c}.",
    "{c} is the capital of {s}.",
    "In {s} the capital is {c}.",
    "{s}, capital {c}.",
)
EXAM_SENTENCES = tuple(item for item in SENTENCES if not item.startswith("{c}"))


def is_held_out(country: str, sentence: str) -> bool:
    """Whether a country is never taught in this sentence, but in the others."""
    if sentence not in EXAM_SENTENCES:
        return False
    return zlib.crc32(country.encode()) % len(EXAM_SENTENCES) == EXAM_SENTENCES.index(sentence)


def write_sentence(rng: random.Random) -> str:
    """Write a fact in a sentence that is not held out."""
    while True:
        country, sentence = rng.choice(_COUNTRIES), rng.choice(SENTENCES)
        if not is_held_out(country, sentence):
            first, second = country, known(CAPITAL_OF[country])
            if sentence.startswith("{c}"):
                first, second = known(country), CAPITAL_OF[country]
            return sentence.format(s=first, c=second)


def write_document(rng: random.Random) -> str:
    """Write a few facts."""
    return " ".join(write_sentence(rng) for _ in range(rng.randint(2, 6)))


def write_prompts(rng: random.Random, n: int) -> tuple[SkillPrompt, ...]:
    """Write facts in the sentence held out for their country, stopped before the capital."""
    prompts = []
    for _ in range(n):
        country = rng.choice(list(CAPITAL_OF))
        (sentence,) = (item for item in EXAM_SENTENCES if is_held_out(country, item))
        text = sentence.split("{c}")[0].format(s=country)
        start = text.index(country)
        evidence = tuple(range(start, start + len(country)))
        prompts.append(SkillPrompt("capitals", text, CAPITAL_OF[country], evidence))
    return tuple(prompts)


CAPITALS = Skill(
    "capitals",
    "Names a country's capital.",
    0.09,
    write_document,
    write_prompts,
)
