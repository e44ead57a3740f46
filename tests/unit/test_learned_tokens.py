"""A vocabulary learned from text: the same for the same text, and every text comes back."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import circuitscope_core as cs
from circuitscope_core.attribution import find_token
from circuitscope_core.corpus import Document, read_sample
from circuitscope_core.skills import whole_words, write_documents
from circuitscope_core.tokenizer import (
    ByteTokenizer,
    HuggingFaceTokenizer,
    decode_prompt,
    encode_documents,
    encode_text,
    encode_with_numbers,
    encode_words,
    token_lengths,
    word_starts,
)


@dataclass(frozen=True)
class SomeText:
    """A source of a few documents."""

    texts: tuple[str, ...]
    name: str = "some text"
    redistributable: bool = True

    def documents(self, counter):
        del counter
        return (Document(text, self.name) for text in self.texts)


TEXTS = [
    "The National Digital Analytics Group (NDAG) has 1234 members.",
    "One fox, two foxes; the foxes of Paris. McDonald's NASA (x) [y] {z}",
    "if x == 3:\n        return self.foo(a, b)\n\n",
]
WORDS = ("National", "Digital", "Group", "Paris")


@pytest.fixture(scope="module")
def tokenizer():
    return cs.learn_tokenizer(TEXTS * 5, 420, WORDS)


def texts_of(tokenizer, text):
    return [tokenizer.token_text(token) for token in tokenizer.encode(text)]


def test_words_carry_their_space_and_capitals_digits_and_brackets_are_single(tokenizer):
    assert texts_of(tokenizer, " Digital Group (NDAG) 12") == [
        *(" Digital", " Group", " (", "N", "D", "A", "G", ")", " 1", "2"),
    ]
    assert tokenizer.d_vocab <= 420
    assert cs.learn_tokenizer(TEXTS * 5, 2000).d_vocab < 2000  # no more repeats in so little text


def test_the_same_text_gives_the_same_vocabulary(tokenizer, tmp_path):
    again = cs.learn_tokenizer(iter(TEXTS * 5), 420, tuple(reversed(WORDS)))
    assert again.encode("The foxes of NASA") == tokenizer.encode("The foxes of NASA")
    for name, each in (("one", tokenizer), ("two", again)):
        (tmp_path / name).mkdir()
        each.save(tmp_path / name / "tokenizer.json")
    one, two = ((tmp_path / name / "tokenizer.json").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_saved_tokenizer_reads_as_before(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = HuggingFaceTokenizer(tmp_path / "tokenizer.json")
    assert loaded.text_prefix == " "
    assert loaded.separator_id == tokenizer.separator_id == 0
    for text in TEXTS:
        ids = encode_text(loaded, text, closed=False)
        assert ids == encode_text(tokenizer, text, closed=False)
        assert decode_prompt(loaded, ids) == text


def test_the_first_word_of_a_text_is_the_tokens_that_it_is_elsewhere(tokenizer):
    first = encode_text(tokenizer, "Paris", closed=False)[1:]
    assert first == tokenizer.encode(" Paris")
    assert encode_text(tokenizer, "\nParis", closed=False)[1:] == tokenizer.encode("\nParis")
    assert encode_text(ByteTokenizer(), "ab", closed=False) == [256, 97, 98]
    assert encode_words(tokenizer, "Paris") == first
    assert encode_words(tokenizer, "D") == tokenizer.encode("D")
    assert find_token("Paris", tokenizer) == first[0]


@given(st.text())
def test_every_text_comes_back(text):
    tokenizer = learned()
    ids = encode_text(tokenizer, text, closed=False)
    clean = text.encode(errors="replace").decode()
    assert decode_prompt(tokenizer, ids) in (clean, clean[1:] if clean[:1] == " " else clean)
    lengths = token_lengths(tokenizer)
    assert int(lengths[ids[1:]].sum()) >= len(clean.encode())


_LEARNED = []


def learned():
    if not _LEARNED:
        _LEARNED.append(cs.learn_tokenizer(TEXTS * 5, 420, WORDS))
    return _LEARNED[0]


def test_characters_are_counted_without_the_space_that_was_put_before_them(tokenizer):
    ids, numbers = encode_with_numbers(tokenizer, "Paris (N")
    assert [tokenizer.token_text(int(token)) for token in ids] == [" Paris", " (", "N"]
    assert list(numbers) == [0] * 5 + [1, 1, 2]


def test_several_documents_are_encoded_as_each_alone(tokenizer):
    together = encode_documents(tokenizer, TEXTS)
    for text, ids in zip(TEXTS, together, strict=True):
        assert ids.tolist() == encode_text(tokenizer, text, closed=False)[1:]
        assert ids.dtype == np.uint16


def test_beginnings_of_words_are_those_with_a_space(tokenizer):
    starts = word_starts(tokenizer)
    assert {"Digital", "Paris"} <= set(starts)
    assert all(start.isalpha() and start[0].isupper() for start in starts)
    assert word_starts(ByteTokenizer()) == ()


def test_acronyms_and_articles_are_taught_with_the_vocabularys_words():
    starts = ("Zorblax", "Quib", "Ernex")
    texts = [item.text for item, _ in zip(write_documents(0, starts), range(300), strict=False)]
    for start in starts:
        assert any(start in text and "(" in text for text in texts)
    assert any("rnex:" in text or "rnex?" in text or "rnex means" in text for text in texts)
    assert "National" in whole_words()
    assert "Quartz" not in whole_words()  # for the exam only


def test_a_sample_leaves_out_what_is_held_out():
    source = SomeText(tuple(f"document {number} of many" for number in range(100)))
    config = cs.CorpusConfig(validation_every=10, skill_share=0.5)
    *_, texts = read_sample([source], config, seed=0)
    plain = [text for text in texts if text.startswith("document")]
    assert len(plain) == 90
    assert "document 9 of many" not in plain
    n_skill = sum(len(text) for text in texts[len(plain) :])
    assert n_skill == pytest.approx(sum(map(len, plain)), rel=0.2)


def test_a_vocabulary_without_all_bytes_is_refused(tmp_path):
    config = cs.TrainConfig(model=cs.ModelConfig(d_vocab=100))
    with pytest.raises(cs.TrainingError, match="needs 257 tokens to read"):
        list(cs.train(config, SomeText(("x",) * 3), tmp_path / "mine"))
    config = cs.TrainConfig(model=cs.ModelConfig(d_vocab=300))
    source = SomeText(("x",) * 3)
    with pytest.raises(cs.TrainingError, match="set d_vocab to the tokenizer's size"):
        list(cs.train(config, source, tmp_path / "mine", tokenizer=ByteTokenizer()))
