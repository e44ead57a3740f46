"""Are direct effects exact? Every node is taken away with all else frozen."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.evals.debugging import opening_errors
from circuitscope_core.evals.faithfulness.gradients import explained_directions
from circuitscope_core.evals.faithfulness.traced import BATCH, TracedPrompt
from circuitscope_core.interventions import Change, change_nodes
from circuitscope_core.interventions.changes import deltas_of
from circuitscope_core.interventions.runs import run_clamped


def direct_errors(traced: TracedPrompt) -> Float[Tensor, " n_columns"]:
    """Return how far each node's column is from what the model does without it.

    ``|moved - column| / |column|`` over all features and explained logits, for each feature, error
    and token whose column is not 0; errors at position 0 are no nodes.
    """
    graph = traced.graph
    rows = torch.cat(
        [torch.arange(graph.n_features), torch.arange(graph.n_nodes)[graph.logit_nodes]]
    )
    columns = graph.adjacency[rows]
    silent = opening_errors(traced.clean, graph)
    every = [n for n in range(graph.token_nodes.stop) if n not in silent]
    nodes = torch.tensor(every)[columns[:, every].norm(dim=0) > 0]
    errors = []
    for some in nodes.split(BATCH):
        moved = moved_by(traced, [change_nodes(graph, [int(node)]) for node in some])
        expected = columns[:, some].T
        errors.append((moved - expected).norm(dim=1) / expected.norm(dim=1))
    return torch.cat(errors)


def moved_by(
    traced: TracedPrompt, sets: list[tuple[Change, ...]]
) -> Float[Tensor, "n_sets n_rows"]:
    """Return what every feature and explained logit loses with each set, all else frozen."""
    last = traced.graph.n_layers - 1
    with torch.no_grad():
        deltas = deltas_of(traced.clean, [(), *sets])
        record = run_clamped(traced.clean, deltas, last, freeze_norms=True)
        asked = record.logits[:, traced.clean.asked]
        logits = asked @ explained_directions(traced).to(asked.dtype).T
        values: Tensor = torch.cat([traced.feature_values(record), logits], dim=1)
    return (values[0] - values[1:]).cpu()
