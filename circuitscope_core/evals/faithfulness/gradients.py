"""Gradient times input: what features do by the slope of the whole model, nothing frozen."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.interventions.changes import deltas_of
from circuitscope_core.language_model import MlpCall, Record


def gradient_effects(
    traced: TracedPrompt, directions: Float[Tensor, "n d_vocab"]
) -> Float[Tensor, "n n_features"]:
    """Return each feature's activation times the slope of weighted sums of the next logits.

    The slope is that of the real model, attention and norms included, by what the feature writes to
    its own layer's MLP output: the later MLPs answer themselves, as they do when it is ablated.
    """
    clean, graph = traced.clean, traced.graph
    model, transcoder = clean.replacement.model, clean.replacement.transcoder
    outputs = torch.zeros_like(clean.error_vectors, requires_grad=True)
    with torch.enable_grad():
        record = model.record(
            graph.token_ids[None], edit_mlp=lambda call: call.mlp_out() + outputs[call.layer]
        )
        wanted = directions @ record.logits[0, -1]
        slopes = [torch.autograd.grad(w, outputs, retain_graph=True)[0] for w in wanted]
    layers, positions, numbers = graph.features.T
    own = torch.cat(
        [
            transcoder.decoder_rows(layer, numbers[layers == layer])[:, 0]
            for layer in range(graph.n_layers)
        ]
    )
    written = own * graph.activations[:, None]
    return torch.stack([(slope[layers, positions] * written).sum(dim=1) for slope in slopes])


def explained_directions(traced: TracedPrompt) -> Float[Tensor, "n_logits d_vocab"]:
    """Return what makes the graph's outputs of the next logits: a logit less the mean logit."""
    tokens, logits = traced.graph.logit_token_ids, traced.clean.logits
    directions = torch.full((len(tokens), len(logits)), -1 / len(logits)).to(logits)
    directions[torch.arange(len(tokens)), tokens] += 1
    return directions


def slopes_at_features(
    traced: TracedPrompt, layer: int, nodes: Int[Tensor, " n"]
) -> Float[Tensor, "n n_features"]:
    """Return how fast every feature's pre-activation moves as features of a layer are scaled away.

    Through the real model, nothing frozen.
    """
    clean = traced.clean
    deltas = deltas_of(clean, [traced.ablation(int(node)) for node in nodes]).outputs[:, layer]
    tokens = traced.graph.token_ids.expand(len(nodes), -1)

    def run(scale: Tensor) -> Tensor:
        def edit(call: MlpCall) -> Tensor:
            out = call.mlp_out()
            return out + scale * deltas if call.layer == layer else out

        record: Record = clean.replacement.model.record(tokens, edit_mlp=edit)
        return traced.feature_values(record)

    zero, one = torch.zeros(()), torch.ones(())
    slopes: Tensor = torch.func.jvp(run, (zero,), (one,))[1]
    return slopes
