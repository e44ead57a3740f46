"""Which skills a model has: it continues held-out prompts, and its answers are marked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.skills import SkillPrompt
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.values import one_line

BATCH = 25


@one_line
@dataclass(frozen=True)
class ExamResult:
    """How a model did on questions of one skill."""

    n: int
    whole: float
    """Share of the questions whose whole answer is right, each token being the likeliest."""
    tokens: float
    """Share of the answers' tokens that are right where those before them are given."""


@dataclass(frozen=True)
class WrongToken:
    """The first token of an answer that a model gets wrong."""

    index: int
    """In the answer."""
    said: int
    wanted: int


@torch.no_grad()
def first_wrong_token(
    model: LanguageModel, tokenizer: Tokenizer, question: SkillPrompt
) -> WrongToken | None:
    """Return where a model's answer goes wrong; None if it is right, or too long for the model."""
    prompt = [tokenizer.separator_id, *tokenizer.encode(question.prompt)]
    answer = list(tokenizer.encode(question.answer))
    if len(prompt) + len(answer) > model.shape.n_ctx:
        return None
    likeliest = model(model.tokens(prompt + answer)).argmax(dim=-1)[0].tolist()
    for index, wanted in enumerate(answer):
        said = likeliest[len(prompt) - 1 + index]
        if said != wanted:
            return WrongToken(index, said, wanted)
    return None


@checked
@torch.no_grad()
def take_exam(
    model: LanguageModel, tokenizer: Tokenizer, questions: Sequence[SkillPrompt]
) -> ExamResult | None:
    """Let a model answer questions; those too long for it are left out, None if all are.

    An answer is right when at each of its tokens the likeliest next token is the right one: the
    same as continuing the prompt token by token, since those before it are right then.
    """
    asked = []
    for question in questions:
        prompt = [tokenizer.separator_id, *tokenizer.encode(question.prompt)]
        answer = list(tokenizer.encode(question.answer))
        if len(prompt) + len(answer) <= model.shape.n_ctx:
            asked.append((prompt, answer))
    if not asked:
        return None
    n_whole, n_right, n_tokens = 0, 0, 0
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        longest = max(len(prompt) + len(answer) for prompt, answer in batch)
        # what comes after a row's end cannot be seen from within it
        rows = [(prompt + answer + [0] * longest)[:longest] for prompt, answer in batch]
        likeliest = model(torch.cat([model.tokens(row) for row in rows])).argmax(dim=-1).tolist()
        for (prompt, answer), given in zip(batch, likeliest, strict=True):
            said = given[len(prompt) - 1 :][: len(answer)]
            right = [one == other for one, other in zip(answer, said, strict=True)]
            n_whole += all(right)
            n_right += sum(right)
            n_tokens += len(right)
    return ExamResult(len(asked), n_whole / len(asked), n_right / n_tokens)
