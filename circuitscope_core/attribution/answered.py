"""Answers behind prompts: one target at each position where a token of the answer is read."""

from collections.abc import Sequence

from circuitscope_core.answers import Answer, AnsweredPrompt, PromptLike, answer_prompt
from circuitscope_core.attribution.targets import Target, TokenAt
from circuitscope_core.errors import GraphError
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import Explainable, replacement_of


def with_answer(
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    targets: Sequence[Target] | None,
    answer: Answer | None,
) -> tuple[Explainable | PromptPass, PromptLike]:
    """Put an answer behind a prompt, where one is given.

    Returns:
        The bundle, or the replacement model in the place of the pass of another prompt; the prompt.

    Raises:
        GraphError: If targets are given too, or the prompt has an answer already.
    """
    if answer is not None:
        if isinstance(prompt, AnsweredPrompt):
            raise GraphError("The prompt has an answer already; leave the second one out.")
        owner = bundle.replacement if isinstance(bundle, PromptPass) else replacement_of(bundle)
        prompt = answer_prompt(owner, prompt, answer)
    if not isinstance(prompt, AnsweredPrompt):
        return bundle, prompt
    if targets is not None:
        raise GraphError(
            "Targets were given together with an answer, each of whose tokens is a target already; "
            "leave one of the two out."
        )
    if isinstance(bundle, PromptPass) and bundle.token_ids != prompt.token_ids:
        bundle = bundle.replacement
    return bundle, prompt


def targets_of(answered: AnsweredPrompt) -> list[Target]:
    """Return an answer's tokens as targets, each at the position where it is read."""
    places = zip(answered.answer_ids, answered.positions, strict=True)
    return [TokenAt(token, position) for token, position in places]


def behind(
    against: str | Sequence[int] | None, clean: PromptPass, prompt: PromptLike
) -> PromptLike | None:
    """Return a second prompt, with the answer of the first behind it where that has one."""
    if against is None or not isinstance(prompt, AnsweredPrompt):
        return against
    return answer_prompt(clean.replacement, against, prompt.answer_ids)
