"""Does a graph point at the tokens that decide the answer? A score with a known truth.

Each exam question names its evidence: the characters that would have to be others for the answer
to be another. ``docs/benchmarks.md`` defines the score for graphs of any tool.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.attribution import attribute
from circuitscope_core.evals.exam import encode_question
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.pruning import compute_node_influence, graph_scores
from circuitscope_core.replacement import Explainable, replacement_of
from circuitscope_core.skills import SkillPrompt
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Localization:
    """Mean shares of the tokens' part in an answer that fall on its evidence, 0 to 1."""

    n: int
    graph: float
    """The share by the influence of the graph's token nodes."""
    gradient: float
    """The share by the absolute value of gradient times input at the embeddings."""
    chance: float
    """If every position had the same part."""
    replacement: float
    """Mean replacement score of the graphs."""
    completeness: float
    """Mean completeness score of the graphs."""


@checked
def measure_localization(bundle: Explainable, questions: Sequence[SkillPrompt]) -> Localization:
    """Trace the token of each answer that the evidence decides, and look where influence falls.

    The graphs are not pruned.
    The target is the right answer's token whether or not the model gives it. Questions that are
    too long for the model are left out.
    """
    replacement = replacement_of(bundle)
    sums = torch.zeros(5, dtype=torch.float64, device="cpu")
    n_ctx = replacement.model.shape.n_ctx
    asked = (encode_question(replacement.tokenizer, question) for question in questions)
    fitting = [question for question in asked if question.n_tokens <= n_ctx]
    for question in fitting:
        positions = torch.tensor(question.evidence, device="cpu")
        target = question.answer[question.decided]
        graph = attribute(replacement, question.before_decided, targets=[target])
        influence = compute_node_influence(graph)[graph.token_nodes]
        scores = graph_scores(graph)
        (tokens,) = replacement.model.tokens(graph.token_ids.tolist())
        by_gradient = gradient_times_input(replacement.model, tokens, target).cpu()
        sums += torch.tensor(
            [
                share_at(influence, positions),
                share_at(by_gradient, positions),
                len(positions) / graph.n_pos,
                scores.replacement,
                scores.completeness,
            ],
            dtype=torch.float64,
            device="cpu",
        )
    return Localization(len(fitting), *(sums / max(1, len(fitting))).tolist())


def share_at(parts: Float[Tensor, " n_pos"], positions: Int[Tensor, " n"]) -> float:
    """Return the share of some positions in the sum of all."""
    return float(parts[positions].sum() / parts.sum().clamp(min=torch.finfo(parts.dtype).tiny))


def gradient_times_input(
    model: LanguageModel, token_ids: Int[Tensor, " n_pos"], target: int
) -> Float[Tensor, " n_pos"]:
    """Return ``|gradient . embedding|`` at each position, for a logit less the mean logit.

    The whole model is differentiated, nothing frozen: the plain baseline.
    """
    token_ids = token_ids[None]
    with torch.enable_grad():
        change = torch.zeros_like(model.token_vectors(token_ids), requires_grad=True)
        record = model.record(token_ids, embed_change=change)
        logits = record.logits[0, model.shape.asked(token_ids[0])]
        (gradient,) = torch.autograd.grad(logits[target] - logits.mean(), change)
    embedded = record.streams[0]
    parts: Tensor = (gradient * embedded.detach())[0].sum(dim=-1).abs()
    return parts
