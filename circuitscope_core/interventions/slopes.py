"""The effect of one feature alone, by the slope of the whole model, nothing frozen."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable


def slope_effects(
    clean: PromptPass,
    graph: AttributionGraph,
    directions: Float[Tensor, "n d_vocab"],
    position: int | None = None,
) -> Float[Tensor, "n n_features"]:
    """Return each feature's activation times the slope of weighted sums of logits.

    The slope is that of the real model, attention and norms included, by what the feature writes to
    its own layer's MLP output: the later MLPs answer themselves, as they do when it is ablated.

    Args:
        clean: The prompt's clean pass.
        graph: Its graph.
        directions: Weights of the logits in each sum.
        position: Where the logits are read; None: at the position that is asked.
    """
    model, features = clean.replacement.model, clean.replacement.transcoder
    outputs = torch.zeros_like(clean.error_vectors, requires_grad=True)
    with torch.enable_grad():
        record = model.record(
            model.tokens(graph.token_ids.tolist()),
            edit_mlp=lambda call: call.mlp_out() + outputs[call.layer],
        )
        wanted = directions @ record.logits[0, clean.asked if position is None else position]
        slopes = [torch.autograd.grad(w, outputs, retain_graph=True)[0] for w in wanted]
    layers, positions, numbers = graph.features.T.to(outputs.device)
    own = torch.cat(
        [
            features.decoder_rows(layer, numbers[layers == layer])[:, 0]
            for layer in range(graph.n_layers)
        ]
    )
    written = own * graph.activations[:, None].to(own)
    effects = torch.stack([(slope[layers, positions] * written).sum(dim=1) for slope in slopes])
    return effects.cpu()


@checked
def predict_alone(
    bundle: Explainable | PromptPass, graph: AttributionGraph
) -> Float[Tensor, " n_features"]:
    """Return how much the first target loses if one feature alone is taken away, for each.

    One pass back through the real model gives all of them. For a single neuron this is a better
    prediction than the graph's, which holds attention and gates where they are; for many together
    the graph's is.

    Args:
        bundle: The bundle or replacement model that the graph was made with, or the prompt's pass.
        graph: The first target of which is a token or a difference of tokens.

    Raises:
        GraphError: If the first target is neither.
    """
    tokens = None if graph.targets is None else graph.targets.tokens
    if tokens is None or int(tokens[0, 0]) < 0:
        raise GraphError("The graph's first target is no token; build a graph for one.")
    clean = run_prompt(bundle, graph.token_ids.tolist())
    token, minus = tokens[0].tolist()
    direction = torch.zeros_like(clean.logits)
    if minus < 0:
        direction -= 1 / len(direction)
    else:
        direction[minus] = -1
    direction[token] += 1
    position = int(graph.target_positions[0])
    return slope_effects(clean, graph, direction[None], position)[0]
