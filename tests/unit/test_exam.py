"""Marking answers, and where graphs point."""

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.evals.localization import evidence_positions, gradient_times_input, share_at
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


class Fixed(ByteTokenizer):
    """Bytes, but some texts are the ids that a model gave."""

    def __init__(self, answers):
        self.answers = answers

    def encode(self, text):
        return self.answers.get(text) or super().encode(text)


def test_what_a_model_says_by_itself_is_marked_right_and_anything_else_by_its_tokens():
    model = tiny_model(n_ctx=32)
    prompts = ["The Navy (N", "one, two", "x"]
    said = {prompt: continue_text(model, prompt, 3) for prompt in prompts}
    wrong = [(said["x"][0] + 1) % 256, *said["x"][1:]]
    answers = {"a": said[prompts[0]], "b": said[prompts[1]], "c": wrong}
    questions = [
        SkillPrompt("s", prompt, answer, (0,))
        for prompt, answer in zip(prompts, "abc", strict=True)
    ]
    right = cs.take_exam(model, Fixed(answers), questions[:2])
    assert right == cs.ExamResult(2, 1.0, 1.0)
    every = cs.take_exam(model, Fixed(answers), questions)
    assert every.n == 3
    assert every.whole == pytest.approx(2 / 3)
    assert 6 / 9 <= every.tokens <= 8 / 9


def test_questions_too_long_for_the_model_are_left_out():
    questions = [SkillPrompt("s", "x" * 40, "y", (0,)), SkillPrompt("s", "x" * 30, "y", (0,))]
    assert cs.take_exam(tiny_model(n_ctx=32), TOKENIZER, questions).n == 1
    assert cs.take_exam(tiny_model(n_ctx=16), TOKENIZER, questions) is None


def test_evidence_is_found_behind_the_separator():
    question = exam("acronyms", 1)[0]
    (position,) = evidence_positions(question, TOKENIZER).tolist()
    token_ids = [TOKENIZER.separator_id, *TOKENIZER.encode(question.prompt)]
    assert TOKENIZER.decode([token_ids[position]]) == "D"


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
