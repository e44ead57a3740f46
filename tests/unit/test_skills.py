"""Generated text teaches, and the exam asks what was never taught."""

import random
import re
from itertools import islice, pairwise

import pytest

from circuitscope_core import ConfigError
from circuitscope_core.skills import SKILLS, exam, write_documents
from circuitscope_core.skills.acronyms import acronym_of, draw_training_name, is_held_out
from circuitscope_core.skills.counting import is_held_out as step_is_held_out
from circuitscope_core.skills.words import BY_INITIAL, NEVER_TRAINED_WORDS

EXAMPLE = "The National Digital Analytics Group (N"


@pytest.fixture(scope="module")
def training_text():
    pieces, size = [], 0
    for text in write_documents(0):
        pieces.append(text)
        size += len(text)
        if size > 2_000_000:
            return "\n".join(pieces)
    raise AssertionError("the generator never ends")


def test_a_seed_fixes_the_text_and_the_exam():
    assert list(islice(write_documents(5), 50)) == list(islice(write_documents(5), 50))
    assert list(islice(write_documents(5), 50)) != list(islice(write_documents(6), 50))
    for skill in SKILLS:
        assert exam(skill, 20, 1) == exam(skill, 20, 1) != exam(skill, 20, 2)


def test_the_first_example_is_the_first_exam_question():
    first = exam("acronyms", 1)[0]
    assert (first.prompt, first.answer) == (EXAMPLE, "DAG)")


def test_no_name_of_the_exam_is_ever_taught(training_text):
    for question in exam("acronyms", 400):
        start, letter = question.prompt[:-1], question.prompt[-1]
        assert start + letter + question.answer not in training_text
    assert not any(word in training_text for word in NEVER_TRAINED_WORDS)


def test_no_code_of_the_exam_is_ever_taught(training_text):
    codes = set(re.findall(r"\b[qxz][a-z]{2,6}\b", training_text))
    asked = {question.prompt[-1] + question.answer for question in exam("copying", 200)}
    assert not codes & asked


def test_no_step_that_the_exam_asks_for_is_ever_taught():
    taught = set()
    for text in islice(write_documents(3), 40_000):
        if re.fullmatch(r"\d+(?:(?:, | |\n|; )\d+)+\.", text):
            numbers = list(map(int, re.findall(r"\d+", text)))
            taught |= set(pairwise(numbers))
    assert len(taught) > 3000
    for question in exam("counting", 300):
        *_, last = map(int, question.prompt.rstrip(", ").split(", "))
        assert (last, int(question.answer)) not in taught
        step = int(question.answer) - last
        assert step_is_held_out(last, step)
    asked = {question.prompt for question in exam("counting", 300)}
    assert len(asked) > 100


def test_every_answer_is_right():
    for question in exam("acronyms", 100):
        words = question.prompt.removeprefix("The ").split(" (")[0].split()
        assert question.prompt[-1] + question.answer == acronym_of(words) + ")"
    for question in exam("copying", 100):
        assert question.prompt.count(question.prompt[-1] + question.answer) >= 1
    for question in exam("counting", 100):
        *_, before, last = map(int, question.prompt.rstrip(", ").split(", "))
        assert int(question.answer) == last + (last - before)


def test_half_of_the_exam_has_a_word_never_seen():
    unseen = [
        any(word in question.prompt for word in NEVER_TRAINED_WORDS)
        for question in exam("acronyms", 100)
    ]
    assert sum(unseen) == 50


def test_every_taught_acronym_has_its_names_initials(training_text):
    found = re.findall(r"(?<!of )(?<!for )[Tt]he ((?:[A-Z][a-z]+ )+)\(([A-Z]+)\)", training_text)
    assert len(found) > 5000
    for name, letters in found:
        assert acronym_of(name.split()) == letters


def test_initials_are_spread_over_the_alphabet(training_text):
    letters = "".join(re.findall(r"\(([A-Z]+)\)", training_text))
    counts = {letter: letters.count(letter) for letter in BY_INITIAL}
    assert min(counts.values()) > 0.2 * max(counts.values()) / 2
    assert len(BY_INITIAL) == 26


def test_drawn_names_are_never_held_out():
    rng = random.Random(0)
    assert not any(is_held_out(draw_training_name(rng)) for _ in range(2000))
    assert is_held_out(("National", "Digital", "Analytics", "Group"))


def test_the_mix_is_mostly_acronyms():
    texts = list(islice(write_documents(1), 2000))
    share = sum("(" in text for text in texts) / len(texts)
    assert 0.65 < share < 0.75


def test_an_unknown_skill_is_refused():
    with pytest.raises(ConfigError, match="no skill 'chess'; choose one of acronyms"):
        exam("chess", 1)
