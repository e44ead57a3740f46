"""Generated text teaches, and the exam asks what was never taught."""

import random
import re
from itertools import islice, pairwise

import pytest

from circuitscope_core import ConfigError
from circuitscope_core.corpus import BuiltinSource
from circuitscope_core.corpus.documents import ReadCounter
from circuitscope_core.skills import (
    SKILLS,
    SkillText,
    articles,
    exam,
    indirect_objects,
    plurals,
    write_documents,
)
from circuitscope_core.skills.acronyms import acronym_of, draw_training_name, is_held_out
from circuitscope_core.skills.brackets import CLOSING, close
from circuitscope_core.skills.calendar import DAYS, HELD_OUT, MONTHS, TAUGHT
from circuitscope_core.skills.capitals import CAPITAL_OF, EXAM_SENTENCES
from circuitscope_core.skills.counting import is_held_out as step_is_held_out
from circuitscope_core.skills.skill_prompts import known
from circuitscope_core.skills.words import BY_INITIAL, NEVER_TRAINED_WORDS

EXAMPLE = "The National Digital Analytics Group (N"


def text_of(skill, n):
    rng = random.Random(f"{skill} text")
    return "\n".join(SkillText.of(SKILLS[skill].write_document(rng)).text for _ in range(n))


@pytest.fixture(scope="module")
def acronym_text():
    return text_of("acronyms", 15_000)


def test_a_seed_fixes_the_text_and_the_exam():
    assert list(islice(write_documents(5), 50)) == list(islice(write_documents(5), 50))
    assert list(islice(write_documents(5), 50)) != list(islice(write_documents(6), 50))
    for skill in SKILLS:
        assert exam(skill, 20, 1) == exam(skill, 20, 1) != exam(skill, 20, 2)


def test_every_skill_has_its_share_of_the_documents():
    assert sum(skill.share for skill in SKILLS.values()) == pytest.approx(1)
    assert len(SKILLS) >= 9
    counts = dict.fromkeys(SKILLS, 0)
    writers = {skill.write_document: name for name, skill in SKILLS.items()}
    rng = random.Random(0)
    for writer in rng.choices(list(writers), [skill.share for skill in SKILLS.values()], k=10_000):
        counts[writers[writer]] += 1
    texts = [item.text for item in islice(write_documents(1), 4000)]
    runs = sum(bool(re.fullmatch(r"[\d\s;,]+\.", text)) for text in texts) / len(texts)
    assert runs == pytest.approx(SKILLS["counting"].share, abs=0.02)


def test_marks_become_spans_and_leave_the_text():
    marked = f"One {known('two')} three {known('')}{known('four')}"
    assert SkillText.of(marked) == SkillText("One two three four", ((4, 7), (14, 14), (14, 18)))
    assert SkillText.of("plain") == SkillText("plain", ())


LESSONS = {
    "acronyms": r"[A-Z]+\)?",
    "copying": "[A-Z]+",
    "brackets": r"[)\]}>'\"]+",
    "counting": r"[\d\s,;]+",
    "calendar": r"[A-Z][A-Za-z, ]+[a-z]",
    "articles": "an? [a-z]+",
    "plurals": "[a-z]+s",
    "capitals": "[A-Z][a-z]+",
    "indirect objects": "[A-Z][a-z]+",
}


@pytest.mark.parametrize("skill", SKILLS)
def test_the_lesson_of_a_document_is_what_follows_from_the_text_before_it(skill):
    rng = random.Random(2)
    for _ in range(300):
        item = SkillText.of(SKILLS[skill].write_document(rng))
        assert item.known
        assert item.text.isascii()
        assert item.text.replace("\n", "").isprintable()
        for start, end in item.known:
            assert re.fullmatch(LESSONS[skill], item.text[start:end])
            if skill == "copying":
                assert item.text.index(item.text[start:end]) < start


@pytest.mark.parametrize("skill", SKILLS)
def test_a_question_names_its_skill_and_evidence_inside_an_ascii_prompt(skill):
    questions = exam(skill, 200)
    assert len(questions) == 200
    assert len({question.prompt for question in questions}) > 30
    for question in questions:
        assert question.skill == skill
        assert question.prompt.isascii()
        assert question.answer.isascii()
        assert question.answer
        assert question.evidence
        assert all(0 <= place < len(question.prompt) for place in question.evidence)
        assert len(set(question.evidence)) == len(question.evidence)
        assert len(question.prompt) + len(question.answer) < 240


@pytest.mark.parametrize("skill", SKILLS)
def test_no_question_with_its_answer_is_ever_taught(skill):
    text = text_of(skill, 8000)
    for question in exam(skill, 200):
        if skill not in ("articles", "plurals", "calendar", "counting"):  # held out by other means
            assert question.prompt + question.answer not in text


def test_the_first_example_is_the_first_exam_question():
    first = exam("acronyms", 1)[0]
    assert (first.prompt, first.answer) == (EXAMPLE, "DAG)")
    assert [EXAMPLE[place] for place in first.evidence] == ["D"]


def test_no_name_of_the_exam_is_ever_taught(acronym_text):
    for question in exam("acronyms", 400):
        name = question.prompt[: question.prompt.index(" (")].removeprefix("The ")
        assert f"he {name} (" not in acronym_text
    assert not any(word in acronym_text for word in NEVER_TRAINED_WORDS)


def test_every_acronym_is_right_taught_and_asked(acronym_text):
    found = re.findall(r"(?<!of )(?<!for )[Tt]he ((?:[A-Z][a-z]+ )+)\(([A-Z]+)\)", acronym_text)
    assert len(found) > 5000
    for name, letters in found:
        assert acronym_of(name.split()) == letters
    for question in exam("acronyms", 100):
        words = question.prompt.removeprefix("The ").split(" (")[0].split()
        assert question.prompt[-1] + question.answer == acronym_of(words) + ")"
        (place,) = question.evidence
        assert question.prompt[place] == question.answer[0]


def test_half_of_the_acronym_exam_has_a_word_never_seen():
    unseen = [
        any(word in question.prompt for word in NEVER_TRAINED_WORDS)
        for question in exam("acronyms", 100)
    ]
    assert sum(unseen) == 50


def test_initials_are_spread_over_the_alphabet(acronym_text):
    letters = "".join(re.findall(r"\(([A-Z]+)\)", acronym_text))
    counts = {letter: letters.count(letter) for letter in BY_INITIAL}
    assert min(counts.values()) > 0.2 * max(counts.values()) / 2
    assert len(BY_INITIAL) == 26


def test_drawn_names_are_never_held_out():
    rng = random.Random(0)
    assert not any(is_held_out(draw_training_name(rng)) for _ in range(2000))
    assert is_held_out(("National", "Digital", "Analytics", "Group"))


def test_codes_of_the_exam_begin_as_no_taught_one_does():
    taught = set(re.findall(r"\b[QXZ][A-Z]{3,9}\b", text_of("copying", 8000)))
    assert not taught
    for question in exam("copying", 200):
        code = question.prompt[-1] + question.answer
        assert code[0] in "QXZ"
        assert question.prompt.count(code) == len(question.evidence) >= 1
        assert {question.prompt[place] for place in question.evidence} == {code[1]}


def test_brackets_close_in_the_opposite_order():
    assert close("([<") == ">])"
    for group in re.findall(r"[(\[{<\"']+[a-z][)\]}>\"']+", text_of("brackets", 500)):
        opened, closed = re.split("[a-z]", group)
        assert close(opened).startswith(closed[: len(opened)])
    for question in exam("brackets", 200):
        opened = question.prompt.split(" ")[-1][:-1]
        assert question.answer == close(opened)
        (place,) = question.evidence
        assert CLOSING[question.prompt[place]] == question.answer[0]


def test_no_step_that_the_exam_asks_for_is_ever_taught():
    runs = [list(map(int, re.findall(r"\d+", run))) for run in text_of("counting", 9000).split(".")]
    taught = {number for run in runs for number, _ in pairwise(run)}
    assert len(taught) > 190
    assert all(after == number + 1 for run in runs for number, after in pairwise(run))
    for question in exam("counting", 300):
        *_, last = map(int, question.prompt.rstrip(", ").split(", "))
        assert int(question.answer) == last + 1
        assert step_is_held_out(last)
        assert last not in taught
        assert "".join(question.prompt[place] for place in question.evidence) == str(last)


def test_days_and_months_follow_each_other():
    assert not set(TAUGHT) & set(HELD_OUT)
    after = {name: later for run in TAUGHT for name, later in pairwise(run)}
    assert len(after) == len(DAYS) + len(MONTHS)
    for question in exam("calendar", 100):
        last = "".join(question.prompt[place] for place in question.evidence)
        assert after[last] == question.answer


def test_articles_go_by_the_first_letter_and_their_words_are_not_taught():
    text = text_of("articles", 3000)
    kinds = set()
    for question in exam("articles", 200):
        (place,) = question.evidence
        word = re.match("[A-Za-z]+", question.prompt[place:]).group().lower()
        kinds.add(question.answer)
        assert question.answer == (" an" if word[0] in "aeiou" else " a ")
        assert question.rest.lstrip().startswith(word)
        assert articles.is_held_out(word)
        assert not re.search(rf"\b{word}\b", text.lower())
    assert kinds == {" an", " a "}


def test_plurals_are_regular_and_their_nouns_are_not_taught():
    assert plurals.plural_of("city") == "cities"
    assert plurals.plural_of("tray") == "trays"
    assert plurals.plural_of("box") == "boxes"
    assert plurals.plural_of("lens") == "lenses"
    text = text_of("plurals", 3000)
    kinds = set()
    for question in exam("plurals", 200):
        noun = re.match(r"(?:One|This|A) ([a-z]+)", question.prompt).group(1)
        kinds.add(question.answer)
        assert question.prompt.endswith(plurals.stem_of(noun))
        assert "".join(question.prompt[place] for place in question.evidence) == noun[-2:]
        assert not re.search(rf"\b{noun}\b", text)
    assert kinds == {"s", "es", "ies"}


def test_capitals_are_those_of_the_factbook():
    text = {}
    for document in BuiltinSource().documents(ReadCounter()):
        title = document.text.split(". Government\n")
        found = re.search(r"^Capital: name: ([^;\n]*)", document.text, re.MULTILINE)
        if len(title) == 2 and found:
            text[title[0]] = found.group(1)
    wrong = {
        country: text[country]
        for country, capital in CAPITAL_OF.items()
        if not text[country].startswith(capital)
    }
    assert not wrong
    assert len(CAPITAL_OF) > 40


def test_every_country_is_taught_but_not_in_the_sentence_that_asks_for_it():
    text = text_of("capitals", 8000)
    for country in CAPITAL_OF:
        assert text.count(country) > 20
    for question in exam("capitals", 200):
        assert question.prompt + question.answer not in text
    assert len(EXAM_SENTENCES) == 3


def test_who_receives_is_the_one_who_does_not_act_and_the_two_never_meet_in_training():
    text = text_of("indirect objects", 5000)
    firsts = set(re.findall(r"([A-Z][a-z]+) (?:and|saw) ([A-Z][a-z]+)", text))
    assert len(firsts) > 800
    assert not any(indirect_objects.is_held_out(*pair) for pair in firsts)
    for question in exam("indirect objects", 200):
        one, other, acts = re.findall(r"(?!When)[A-Z][a-z]+", question.prompt)
        assert {one, other} == {acts, question.answer}
        (place,) = question.evidence
        assert question.prompt[place:].startswith(question.answer)


def test_an_unknown_skill_is_refused():
    with pytest.raises(ConfigError, match="no skill 'chess'; choose one of acronyms"):
        exam("chess", 1)
