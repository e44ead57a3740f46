"""Do features bend a push as the MLPs do? Jacobians of the two, compared."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.evals.faithfulness.figures import cosine
from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.interventions import CleanPass
from circuitscope_core.interventions.changes import Deltas
from circuitscope_core.interventions.runs import run_clamped, run_iterative

N_PROBES = 8


def measure_jacobians(
    traced: TracedPrompt, generator: torch.Generator
) -> dict[tuple[str, str], float]:
    """Return cosines of Jacobians, layer by layer and through all layers.

    * A layer: the Jacobian of its MLP at its read point (``hook_resid_mid`` with LN2's denominator
      frozen) against that of the features' part in their own layer, active ones alone; each taken
      as one vector. Mean over all tokens but the separator.
    * The whole: the change of the last MLP output for a small random push of the stream before the
      first layer, through all MLPs against through all features; all positions as one vector, norms
      moving, patterns frozen. Mean over random pushes; none at the separator.
    """
    found: dict[tuple[str, str], float] = {}
    passes = {"graph": traced.clean, "shuffled": traced.control_pass}
    for layer in range(traced.graph.n_layers):
        real = mlp_jacobians(traced.clean, layer)
        for method, clean in passes.items():
            ours = transcoder_jacobians(clean, layer)
            found[f"jacobians.layer {layer}", method] = float(cosine(ours, real).nanmean())
    pushes = torch.randn(
        N_PROBES, traced.graph.n_pos, real.shape[-1], generator=generator
    ).index_fill(1, torch.tensor([0]), 0)
    through_mlps = push_through(traced.clean, pushes, features=False)
    for method, clean in passes.items():
        through_features = push_through(clean, pushes, features=True)
        found["jacobians.whole", method] = float(cosine(through_features, through_mlps).nanmean())
    return found


def mlp_jacobians(clean: CleanPass, layer: int) -> Float[Tensor, "n_tokens d_model d_model"]:
    """Return an MLP's Jacobian at every token but the separator, output first."""
    model, site = clean.replacement.model, clean.record.sites[layer]
    block, read_point = model.block(layer), clean.replacement.transcoder.config.read_point
    scales = clean.record.ln2_scales[layer][0, 1:]

    def run(read: Tensor, scale: Tensor) -> Tensor:
        if read_point == "hook_resid_mid":
            read = block.ln2.apply_gain(block.ln2.normalize(read, scale))
        out: Tensor = block.mlp(read)
        return out

    jacobians: Tensor = torch.func.vmap(torch.func.jacrev(run))(
        site.read(read_point)[0, 1:], scales
    )
    return jacobians.detach()


def transcoder_jacobians(clean: CleanPass, layer: int) -> Float[Tensor, "n_tokens d_model d_model"]:
    """Return the same of what a layer's active features, and its skip, write to that layer."""
    transcoder = clean.replacement.transcoder
    jacobians = []
    for acts in clean.activations[layer, 1:]:
        active = acts.nonzero()[:, 0]
        own = transcoder.decoder_rows(layer, active)[:, 0]
        jacobians.append(own.T @ transcoder.W_enc[layer, active])
    stacked = torch.stack(jacobians).detach()
    if transcoder.config.skip_connection:
        stacked = stacked + transcoder.W_skip[layer].detach().T
    return stacked


def push_through(
    clean: CleanPass, pushes: Float[Tensor, "n_probes n_pos d_model"], *, features: bool
) -> Float[Tensor, "n_probes n_pos d_model"]:
    """Return how fast the last MLP output moves as the embeddings are pushed."""
    n_layers = clean.replacement.model.config.n_layers
    outputs = pushes.new_zeros(len(pushes), n_layers, *pushes.shape[1:])
    unset = [()] * len(pushes)

    def run(embedded: Tensor) -> Tensor:
        deltas = Deltas(embedded, outputs)
        if features:
            record = run_iterative(clean, unset, deltas, freeze_patterns=True)
        else:
            record = run_clamped(clean, deltas, -1, freeze_norms=False)
        return record.sites[-1].mlp_out

    change: Tensor = torch.func.jvp(run, (torch.zeros_like(pushes),), (pushes,))[1]
    return change.detach()
