"""Marking answers, and where graphs point."""

import numpy as np
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.evals.exam import encode_question
from circuitscope_core.evals.localization import gradient_times_input, share_at
from circuitscope_core.pruning import compute_node_influence
from circuitscope_core.skills import SkillPrompt, exam
from circuitscope_core.tokenizer import ByteTokenizer
from tests.samples import tiny_model, tiny_replacement

TOKENIZER = ByteTokenizer()


def continue_text(model, prompt, n):
    token_ids = [TOKENIZER.separator_id, *TOKENIZER.encode(prompt)]
    for _ in range(n):
        token_ids.append(int(model(torch.tensor([token_ids]))[0, -1].argmax()))
    return token_ids[-n:]


class Latin(ByteTokenizer):
    """Every token but the separator is the character of its number."""

    def encode(self, text):
        return [ord(character) for character in text]

    def encode_array(self, text):
        return np.array(self.encode(text), dtype=np.uint16)

    def decode(self, token_ids):
        return "".join(map(chr, token_ids))


def test_what_a_model_says_by_itself_is_marked_right_and_anything_else_by_its_tokens():
    model = tiny_model(n_ctx=32)
    prompts = ["The Navy (N", "one, two", "x"]
    said = {prompt: continue_text(model, prompt, 3) for prompt in prompts}
    wrong = [(said["x"][0] + 1) % 256, *said["x"][1:]]
    answers = (said[prompts[0]], said[prompts[1]], wrong)
    questions = [
        SkillPrompt("s", prompt, Latin().decode(answer), (0,))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    right = cs.take_exam(model, Latin(), questions[:2])
    assert right == cs.ExamResult(2, 1.0, 1.0)
    every = cs.take_exam(model, Latin(), questions)
    assert every.n == 3
    assert every.whole == pytest.approx(2 / 3)
    assert 6 / 9 <= every.tokens <= 8 / 9


def test_questions_too_long_for_the_model_are_left_out():
    questions = [SkillPrompt("s", "x" * 40, "y", (0,)), SkillPrompt("s", "x" * 30, "y", (0,))]
    assert cs.take_exam(tiny_model(n_ctx=32), TOKENIZER, questions).n == 1
    assert cs.take_exam(tiny_model(n_ctx=16), TOKENIZER, questions) is None


def test_evidence_is_found_behind_the_separator():
    question = exam("acronyms", 1)[0]
    asked = encode_question(TOKENIZER, question)
    (position,) = asked.evidence
    assert TOKENIZER.decode([asked.prompt[position]]) == "D"
    assert TOKENIZER.decode(list(asked.answer)) == question.answer


def words():
    text = ["One fox, two foxes. Apple: an apple. Horse? It is a horse one. Oslo is north"]
    return cs.learn_tokenizer(text * 9, 400, ["fox", "foxes", "apple", "horse", "Oslo", "Apple"])


@pytest.mark.parametrize(
    ("question", "prompt", "answer", "decided"),
    [
        # a prompt that ends with a space, or within a word, ends before the whole word
        (SkillPrompt("s", "It is ", "Oslo", (0,)), " It is", " Oslo", 0),
        (SkillPrompt("s", "One fox, two fox", "es", (4,)), " One fox, two", " foxes", 0),
        # of an answer that ends within a token, the tokens before it are asked
        (SkillPrompt("s", "Horse?", " a ", (0,), 2, "horse"), " Horse?", " a", 0),
        (SkillPrompt("s", "Apple:", " an", (0,), 2, " apple"), " Apple:", " an", 0),
        (SkillPrompt("s", "Oslo", " is north", (0,), 4), " Oslo", " is north", 1),
    ],
)
def test_questions_of_a_model_of_words_are_cut_where_its_tokens_begin(
    question, prompt, answer, decided
):
    tokenizer = words()
    asked = encode_question(tokenizer, question)
    assert tokenizer.decode(list(asked.prompt[1:])) == prompt
    assert tokenizer.decode(list(asked.answer)) == answer
    assert asked.decided == decided
    (place,) = asked.evidence
    evidence = question.prompt[question.evidence[0]]
    assert evidence in tokenizer.token_text(asked.prompt[place])


def test_the_score_is_the_influence_on_the_evidence_and_chance_its_share_of_positions():
    replacement = tiny_replacement()
    question = SkillPrompt("s", "The Navy (N", "A", (4, 10))
    found = cs.measure_localization(replacement, [question])
    graph = cs.attribute(replacement, question.prompt, targets=["A"])
    influence = compute_node_influence(graph)[graph.token_nodes]
    assert found.n == 1
    assert found.graph == pytest.approx(float((influence[5] + influence[11]) / influence.sum()))
    assert found.chance == pytest.approx(2 / 12)
    scores = cs.graph_scores(graph)
    assert found.replacement == pytest.approx(scores.replacement)
    assert found.completeness == pytest.approx(scores.completeness)
    too_long = SkillPrompt("s", "x" * 32, "A", (0,))
    assert cs.measure_localization(replacement, [question, too_long]) == found


def test_gradient_times_input_is_the_derivative_along_each_embedding():
    model = tiny_model().double()
    token_ids = torch.tensor([256, *b"The Navy (N"])
    parts = gradient_times_input(model, token_ids, 65)
    assert parts.shape == (12,)

    def logit(scale, position):
        embedded = model.embed_tokens(token_ids[None])
        factors = torch.ones(12, 1, dtype=torch.float64)
        factors[position] = scale
        resid = embedded * factors
        for layer in range(model.config.n_layers):
            resid = model.block(layer)(resid)
        logits = model.logits_of(model.ln_final(resid))[0, -1]
        return logits[65] - logits.mean()

    for position in (0, 5, 11):
        slope = (logit(1 + 1e-5, position) - logit(1 - 1e-5, position)) / 2e-5
        assert float(parts[position]) == pytest.approx(abs(float(slope)), rel=1e-4)


def test_shares_of_nothing_are_nothing():
    assert share_at(torch.zeros(4), torch.tensor([1])) == 0
    assert share_at(torch.tensor([1.0, 3.0]), torch.tensor([1])) == 0.75
