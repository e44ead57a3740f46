"""Does the replacement model answer a push as the real one does?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.evals.faithfulness.figures import cosine, mean_of_defined, normalized_error
from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.interventions.changes import Deltas, deltas_of
from circuitscope_core.interventions.runs import run_clamped, run_iterative
from circuitscope_core.language_model import Record

STEPS = (1, 2)
"""Layers on at which states are compared."""


def measure_states(
    traced: TracedPrompt, n_sources: int, generator: torch.Generator
) -> dict[tuple[str, str], float]:
    """Compare what ablating a feature of layer l changes at layer l + 1 and l + 2.

    The real model is constrained up to layer l, so that it begins from the same push; patterns are
    frozen. Beside it run:

    * ``graph``: the local replacement model. Features are encoded again on the changed stream,
      errors and patterns are frozen, norms follow the stream as they do in the real model.
    * ``carried``: nothing answers; later MLP outputs stay as they were, and only what attention
      carries on is there.
    * ``writes``: nothing is encoded again, but later MLP outputs lose what the feature itself wrote
      there; nothing for per-layer transcoders.
    * ``shuffled``: the local replacement model with shuffled decoders, from the same push.

    A change is the stream after a layer less that without the ablation, all positions as one
    vector; or the MLP output of that layer alone. Means over a sample of kept features.
    """
    values: dict[tuple[str, str], list[float]] = {}
    for layer, some in traced.by_layer(traced.sample(n_sources, generator)):
        runs = perturbed_runs(traced, layer, some)
        for on in STEPS:
            if layer + on >= traced.graph.n_layers:
                continue
            for method in ("graph", "writes", "carried", "shuffled"):
                for what, change in (("stream", stream_change), ("mlp", mlp_change)):
                    if method == "carried" and what == "mlp":
                        continue  # it has none
                    ours = change(runs[method], layer + on)
                    real = change(runs["real"], layer + on)
                    for name, compare in (("cosine", cosine), ("error", normalized_error)):
                        key = (f"states.{what}.{on}.{name}", method)
                        values.setdefault(key, []).extend(compare(ours, real).tolist())
    return {key: mean_of_defined(found) for key, found in values.items()}


def perturbed_runs(traced: TracedPrompt, layer: int, nodes: Int[Tensor, " n"]) -> dict[str, Record]:
    """Run with nothing changed (first of the batch) and with each feature of a layer ablated."""
    clean = traced.clean
    sets = [(), *(traced.ablation(int(node)) for node in nodes)]
    unset = [()] * len(sets)
    last = traced.graph.n_layers - 1
    with torch.no_grad():
        deltas = deltas_of(clean, sets)
        push = torch.zeros_like(deltas.outputs)
        push[:, layer] = deltas.outputs[:, layer]
        control = deltas_of(traced.control_pass, sets).outputs
        control[:, layer] = push[:, layer]
        return {
            "real": run_clamped(clean, deltas, layer, freeze_norms=False),
            "graph": run_iterative(clean, sets, deltas, freeze_patterns=True),
            "writes": run_clamped(clean, deltas, last, freeze_norms=False),
            "carried": run_clamped(clean, Deltas(deltas.embedded, push), last, freeze_norms=False),
            "shuffled": run_iterative(
                traced.control_pass, unset, deltas, freeze_patterns=True, added=control
            ),
        }


def stream_change(record: Record, layer: int) -> Float[Tensor, "n n_pos d_model"]:
    """Return how the residual stream after a layer differs from the first run's."""
    site = record.sites[layer]
    stream = site.resid_mid + site.mlp_out
    return stream[1:] - stream[0]


def mlp_change(record: Record, layer: int) -> Float[Tensor, "n n_pos d_model"]:
    """Return how a layer's MLP output differs from the first run's."""
    outputs = record.sites[layer].mlp_out
    return outputs[1:] - outputs[0]
