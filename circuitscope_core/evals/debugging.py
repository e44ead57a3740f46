"""Explains why the model said one token and not another, and which features turn it if ablated.

Every claim is measured: a feature or token counts by what the model does without it, not by what
the graph predicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution import TokenDifference, attribute, find_token
from circuitscope_core.errors import GraphError
from circuitscope_core.evals.exam import first_wrong_token
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions import (
    Mode,
    change_nodes,
    intervene_many,
)
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable, replacement_of
from circuitscope_core.skills import SkillPrompt
from circuitscope_core.tokenizer import decode_prompt
from circuitscope_core.values import one_line

MOST_FEATURES = 5
CANDIDATES = 48
"""Features that sets are made of: those whose removal alone moves the answer furthest."""
BEAM = 24
"""Sets of each size that are made larger."""


@dataclass(frozen=True)
class Push:
    """The effect of one node on the token that was said, against the one that was wanted."""

    node: int
    """The node's number in the contrast graph."""
    predicted: float
    """The node's edge to the difference of the two logits: its effect with all else frozen."""
    measured: float
    """The loss of the difference in the model without the node, later layers reacting."""


@dataclass(frozen=True)
class Flip:
    """Features without which the model says what was wanted."""

    nodes: tuple[int, ...]
    margin: float
    """Logit of the wanted token less the next best one's, without them; above 0."""


@one_line
@dataclass(frozen=True)
class Diagnosis:
    """One wrong answer, taken apart."""

    graph: AttributionGraph
    """The graph whose output is the difference between the two tokens' logits."""
    said: int
    wanted: int
    margin: float
    """Logit of what was said less that of what was wanted; above 0."""
    pushes: tuple[Push, ...]
    """Features, errors and tokens, those first that do most for what was said."""
    flip: Flip | None
    """The smallest set that was found; None if none of at most ``MOST_FEATURES`` was."""


@dataclass(frozen=True)
class Failure:
    """An exam question that the model gets wrong, up to its first wrong token."""

    question: SkillPrompt
    prompt: str
    """The text before the wrong token: the question and the right beginning of the answer."""
    token_ids: tuple[int, ...]
    """The same as tokens, opened with the separator."""
    said: int
    wanted: int


@checked
def find_failures(bundle: Explainable, questions: Sequence[SkillPrompt]) -> tuple[Failure, ...]:
    """Return the questions that the model answers wrongly, in their order.

    Questions that are too long for the model are left out.
    """
    replacement, found = replacement_of(bundle), []
    for question in questions:
        wrong = first_wrong_token(replacement.model, replacement.tokenizer, question)
        if wrong is not None:
            text = decode_prompt(replacement.tokenizer, wrong.before)
            found.append(Failure(question, text, wrong.before, wrong.said, wrong.wanted))
    return tuple(found)


@checked
def diagnose(
    bundle: Explainable,
    prompt: str | Sequence[int],
    wanted: int | str,
    *,
    said: int | str | None = None,
    mode: Mode = "constrained",
    most_features: int = MOST_FEATURES,
) -> Diagnosis:
    """Find what pushes the model to the token that it says instead of the one it should say.

    Args:
        bundle: A bundle or a replacement model.
        prompt: As for ``attribute``.
        wanted: The token that should have come, as an id or as its text.
        said: The token that came; the model's likeliest where None.
        mode: How features are switched off; see ``intervene``.
        most_features: The largest set to look for.

    Raises:
        GraphError: If a token does not exist, or the model says what is wanted.
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    clean = run_prompt(bundle, prompt)
    logits, tokenizer = clean.logits, clean.replacement.tokenizer
    wanted_id = find_token(wanted, tokenizer)
    said_id = int(logits.argmax()) if said is None else find_token(said, tokenizer)
    if float(logits[said_id] - logits[wanted_id]) <= 0:
        raise GraphError(
            f"The model rather says {tokenizer.token_text(wanted_id)!r} here than "
            f"{tokenizer.token_text(said_id)!r}, so there is nothing to turn. Name another token "
            "as the one it should say."
        )
    graph = attribute(clean, prompt, targets=[TokenDifference(said_id, wanted_id)])
    effects = measure_removals(clean, graph, mode)
    difference = effects[:, said_id] - effects[:, wanted_id]
    margin = float(logits[said_id] - logits[wanted_id])
    edges = graph.adjacency[graph.logit_nodes][0]
    pushes = [
        Push(node, float(edges[node]), margin - float(difference[node]))
        for node in range(len(difference))
    ]
    pushes.sort(key=lambda push: -push.measured)
    flip = find_flip(clean, graph, effects, wanted_id, mode=mode, most_features=most_features)
    return Diagnosis(graph, said_id, wanted_id, margin, tuple(pushes), flip)


def measure_removals(
    clean: PromptPass, graph: AttributionGraph, mode: Mode
) -> Float[Tensor, "n_sources d_vocab"]:
    """Return the next token's logits without each feature, error and token, one at a time.

    Errors at the opening positions are no nodes: without them the logits stay.
    """
    nodes = range(graph.token_nodes.stop)
    silent = opening_errors(clean, graph)
    sets = [() if node in silent else change_nodes(graph, [node]) for node in nodes]
    return intervene_many(clean, (), sets, mode=mode).logits_after


def opening_errors(clean: PromptPass, graph: AttributionGraph) -> set[int]:
    """Return the error nodes at the opening positions, which are no nodes in fact."""
    return {
        graph.index_of_error(layer, position)
        for layer in range(graph.n_layers)
        for position in range(clean.explained.start)
    }


def find_flip(
    clean: PromptPass,
    graph: AttributionGraph,
    effects: Float[Tensor, "n_sources d_vocab"],
    wanted: int,
    *,
    mode: Mode = "constrained",
    most_features: int = MOST_FEATURES,
) -> Flip | None:
    """Return a smallest set of features without which the model says what is wanted.

    One feature, then all pairs of the most promising, then the best sets made larger by one: each
    is run, and the first size at which one succeeds is the answer, by the widest margin.
    """
    alone = _margins(effects[: graph.n_features], wanted)
    best = alone.topk(min(CANDIDATES, len(alone))).indices.tolist()
    tried: list[tuple[int, ...]] = [(node,) for node in best]
    margins = alone[best]
    for size in range(1, most_features + 1):
        if size > 1:
            kept = [tried[i] for i in margins.topk(min(BEAM, len(tried))).indices.tolist()]
            tried = _larger_sets(kept, best) if size > 2 else list(combinations(best, 2))
            if not tried:
                return None
            sets = [change_nodes(graph, nodes) for nodes in tried]
            margins = _margins(intervene_many(clean, (), sets, mode=mode).logits_after, wanted)
        if len(margins) and float(margins.max()) > 0:
            return Flip(tried[int(margins.argmax())], float(margins.max()))
    return None


def _larger_sets(
    sets: Sequence[tuple[int, ...]], candidates: Sequence[int]
) -> list[tuple[int, ...]]:
    larger = {
        tuple(sorted((*nodes, node))) for nodes in sets for node in candidates if node not in nodes
    }
    return list(islice(sorted(larger), BEAM * CANDIDATES))


def _margins(logits: Float[Tensor, "n d_vocab"], wanted: int) -> Float[Tensor, " n"]:
    """Return the wanted token's logit less the best of the others'."""
    others = logits.clone()
    others[:, wanted] = float("-inf")
    return logits[:, wanted] - others.amax(dim=1)
