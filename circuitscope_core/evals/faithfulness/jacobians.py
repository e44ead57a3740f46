"""Do features bend a push as the MLPs do? Jacobians of the two, compared."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.evals.faithfulness.figures import cosine
from circuitscope_core.evals.faithfulness.traced import TracedPrompt
from circuitscope_core.interventions.changes import Deltas
from circuitscope_core.interventions.runs import run_clamped, run_iterative
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import transcoder_of

N_PROBES = 8


def measure_jacobians(
    traced: TracedPrompt, generator: torch.Generator
) -> dict[tuple[str, str], float]:
    """Return cosines of Jacobians, layer by layer and through all layers.

    * A layer: the Jacobian of its MLP at its read point (the norm's denominator being
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
        N_PROBES, traced.graph.n_pos, real.shape[-1], generator=generator, dtype=torch.float32
    )
    pushes[:, : traced.clean.explained.start] = 0
    pushes = pushes.to(real)
    through_mlps = push_through(traced.clean, pushes, features=False)
    for method, clean in passes.items():
        through_features = push_through(clean, pushes, features=True)
        found["jacobians.whole", method] = float(cosine(through_features, through_mlps).nanmean())
    return found


def mlp_jacobians(clean: PromptPass, layer: int) -> Float[Tensor, "n_tokens d_model d_model"]:
    """Return an MLP's Jacobian at every explained token, output first."""
    model, features = clean.replacement.model, clean.replacement.transcoder
    read_point, read = features.shape.read_point, clean.inputs[layer]

    def run(read: Tensor) -> Tensor:
        return model.run_mlp(clean.record, layer, read, read_point)

    # an MLP looks at one position at a time, so one direction can be asked for at all of them
    directions = torch.eye(read.shape[1], dtype=read.dtype, device=read.device)
    back = torch.func.vjp(run, read)[1]
    jacobians: Tensor = torch.func.vmap(back)(directions[:, None].expand(-1, len(read), -1))[0]
    return jacobians.transpose(0, 1)[clean.explained.start :].detach()


def transcoder_jacobians(
    clean: PromptPass, layer: int
) -> Float[Tensor, "n_tokens d_model d_model"]:
    """Return the same of what a layer's active features, and its skip, write to that layer."""
    transcoder = transcoder_of(clean.replacement)
    jacobians = []
    for position in clean.explained:
        active = clean.dense_activations[layer, position].nonzero()[:, 0]
        own = transcoder.decoder_rows(layer, active)[:, 0]
        jacobians.append(own.T @ transcoder.W_enc[layer, active])
    stacked = torch.stack(jacobians).detach()
    if transcoder.config.skip_connection:
        stacked = stacked + transcoder.W_skip[layer].detach().T
    return stacked


def push_through(
    clean: PromptPass, pushes: Float[Tensor, "n_probes n_pos d_model"], *, features: bool
) -> Float[Tensor, "n_probes n_pos d_model"]:
    """Return how fast the last MLP output moves as the embeddings are pushed."""
    n_layers = clean.replacement.model.shape.n_layers
    _ = clean.reconstruction_errors  # before jvp, or what it traces would be kept in the pass
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
