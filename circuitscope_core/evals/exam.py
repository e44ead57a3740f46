"""Tests the skills of a model: it continues held-out prompts, and its answers are marked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.skills import SkillPrompt
from circuitscope_core.tokenizer import Tokenizer, decode_prompt, encode_with_numbers
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
class AskedTokens:
    """An exam question in the tokens of a model."""

    prompt: tuple[int, ...]
    """Opened with the separator; ends before the token that holds the answer's first character."""
    answer: tuple[int, ...]
    """Tokens that end within the answer."""
    decided: int
    """The token of the answer that the evidence decides."""
    evidence: tuple[int, ...]
    """Positions of ``prompt`` whose tokens hold the evidence."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)

    @property
    def before_decided(self) -> list[int]:
        """The prompt and the answer's tokens before the one that the evidence decides."""
        return [*self.prompt, *self.answer[: self.decided]]


def encode_question(tokenizer: Tokenizer, question: SkillPrompt) -> AskedTokens:
    """Return a question as tokens that are those of the whole sentence, as in training text.

    A prompt that ends within a word or before its space is cut where the token begins that
    continues into the answer. A question whose answer ends within a token is asked as far as the
    token before.
    """
    ids, numbers = encode_with_numbers(tokenizer, question.prompt + question.answer + question.rest)
    begin, end = len(question.prompt), len(question.prompt) + len(question.answer)
    first = numbers[begin]
    last = numbers[end - 1]
    if end < len(numbers) and numbers[end] == last and last > first:
        last -= 1  # this token goes on behind the answer
    decided = min(numbers[begin + question.decides], last) - first
    evidence = {numbers[place] + 1 for place in question.evidence}
    return AskedTokens(
        (tokenizer.separator_id, *map(int, ids[:first])),
        tuple(map(int, ids[first : last + 1])),
        decided,
        tuple(sorted(place for place in evidence if place <= first + decided)),
    )


def prompt_text(tokenizer: Tokenizer, question: SkillPrompt) -> str:
    """Return a question as a text whose next token is the one that the evidence decides."""
    return decode_prompt(tokenizer, encode_question(tokenizer, question).before_decided)


@dataclass(frozen=True)
class WrongToken:
    """The first token of an answer that a model gets wrong."""

    before: tuple[int, ...]
    """The question's tokens and those of the answer that were right."""
    said: int
    wanted: int


@torch.no_grad()
def first_wrong_token(
    model: LanguageModel, tokenizer: Tokenizer, question: SkillPrompt
) -> WrongToken | None:
    """Return where a model's answer goes wrong; None if it is right, or too long for the model."""
    asked = encode_question(tokenizer, question)
    if asked.n_tokens > model.shape.n_ctx:
        return None
    tokens = asked.prompt + asked.answer
    likeliest = model(model.tokens(tokens)).argmax(dim=-1)[0].tolist()
    for place in range(len(asked.prompt), len(tokens)):
        said, wanted = likeliest[place - 1], tokens[place]
        if said != wanted:
            return WrongToken(tokens[:place], said, wanted)
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
        tokens = encode_question(tokenizer, question)
        if tokens.n_tokens <= model.shape.n_ctx:
            asked.append((list(tokens.prompt), list(tokens.answer)))
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
