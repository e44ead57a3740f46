"""Gradient times input: what features do by the slope of the whole model, nothing frozen."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.interventions.changes import deltas_of
from circuitscope_core.interventions.slopes import slope_effects
from circuitscope_core.language_model import MlpCall, Record


def gradient_effects(
    traced: TracedPrompt, directions: Float[Tensor, "n d_vocab"]
) -> Float[Tensor, "n n_features"]:
    """Return each feature's activation times the slope of weighted sums of the next logits.

    See ``slope_effects``.
    """
    return slope_effects(traced.clean, traced.graph, directions)


def explained_directions(traced: TracedPrompt) -> Float[Tensor, "n_logits d_vocab"]:
    """Return what makes the graph's outputs of the next logits: a logit less the mean logit."""
    logits = traced.clean.logits
    tokens = traced.graph.logit_token_ids.to(logits.device)
    directions = logits.new_full((len(tokens), len(logits)), -1 / len(logits))
    directions[torch.arange(len(tokens), device=tokens.device), tokens] += 1
    return directions


def slopes_at_features(
    traced: TracedPrompt, layer: int, nodes: Int[Tensor, " n"]
) -> Float[Tensor, "n n_features"]:
    """Return how fast every feature's pre-activation moves as features of a layer are scaled away.

    Through the real model, nothing frozen.
    """
    clean = traced.clean
    deltas = deltas_of(clean, [traced.ablation(int(node)) for node in nodes]).outputs[:, layer]
    model = clean.replacement.model
    tokens = model.tokens(traced.graph.token_ids.tolist()).expand(len(nodes), -1)

    def run(scale: Tensor) -> Tensor:
        def edit(call: MlpCall) -> Tensor:
            out = call.mlp_out()
            return out + scale * deltas if call.layer == layer else out

        record: Record = model.record(tokens, edit_mlp=edit)
        return traced.feature_values(record)

    zero, one = deltas.new_zeros(()), deltas.new_ones(())
    slopes: Tensor = torch.func.jvp(run, (zero,), (one,))[1]
    return slopes.cpu()
