"""The continuation of a text under an intervention, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass

from circuitscope_core.arguments import checked
from circuitscope_core.errors import GraphError, ModelError
from circuitscope_core.interventions.changes import Change
from circuitscope_core.interventions.intervene import Mode
from circuitscope_core.interventions.many import intervene_many
from circuitscope_core.prompt_pass import run_prompt
from circuitscope_core.replacement import Explainable, replacement_of
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Continuation:
    """The likeliest text after a prompt."""

    token_ids: tuple[int, ...]
    text: str
    probabilities: tuple[float, ...]
    """The probability of each token when it was chosen."""


@checked
def continue_prompt(
    bundle: Explainable,
    prompt: str | Sequence[int],
    interventions: Sequence[Change] = (),
    *,
    n_tokens: int = 16,
    mode: Mode = "constrained",
) -> Continuation:
    """Add the likeliest token, again and again, with the interventions in force at every step.

    Each step takes the text so far as the prompt: changes stay at their positions, and those of
    every position also reach the new tokens. Ends at the separator, or where the model can read no
    more.

    Args:
        bundle: A bundle or a replacement model.
        prompt: As for ``attribute``.
        interventions: What to change.
        n_tokens: Tokens to add, at most.
        mode: See ``intervene``.

    Raises:
        GraphError: If a place does not exist or is named twice.
        ModelError: If the model is a masked one.
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    if n_tokens < 1:
        raise GraphError(f"n_tokens is {n_tokens}; ask for at least one token.")
    replacement = replacement_of(bundle)
    if replacement.model.shape.mask_id is not None:
        raise ModelError(
            "This model fills in a word where a prompt has a mask; it does not continue texts. "
            "Use next_tokens for the words that it would fill in."
        )
    tokenizer, n_ctx = replacement.tokenizer, replacement.model.shape.n_ctx
    clean = run_prompt(replacement, prompt)
    added: list[int] = []
    probabilities: list[float] = []
    while len(added) < n_tokens:
        results = intervene_many(clean, (), [interventions], mode=mode)
        likely = replacement.model.shape.probabilities(results.logits_after[0])
        token = int(likely.argmax())
        if token == tokenizer.separator_id:
            break
        added.append(token)
        probabilities.append(float(likely[token]))
        if clean.n_pos == n_ctx:
            break
        clean = run_prompt(replacement, [*clean.token_ids, token])
    return Continuation(tuple(added), tokenizer.decode(added), tuple(probabilities))
