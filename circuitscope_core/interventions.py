"""Set features by hand and see what the model does: does the graph predict it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.attribution.attribute import HasReplacement
from circuitscope_core.errors import GraphError
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import encode_prompt
from circuitscope_core.transcoder import CrossLayerTranscoder, check_place
from circuitscope_core.transformer import Activations, MlpSite, Transformer

Mode = Literal["direct", "constrained", "iterative"]


@dataclass(frozen=True)
class Intervention:
    """Set one feature's activation at one position. 0 ablates it."""

    layer: int
    position: int
    feature: int
    value: float


@dataclass(frozen=True)
class InterventionResult:
    """The model before and after, for the same tokens."""

    mode: Mode
    token_ids: tuple[int, ...]
    logits_before: Float[Tensor, "n_pos d_vocab"]
    logits_after: Float[Tensor, "n_pos d_vocab"]
    pre_activations_before: Float[Tensor, "n_layers n_pos d_transcoder"]
    pre_activations_after: Float[Tensor, "n_layers n_pos d_transcoder"]
    resid_before: Float[Tensor, "n_layers_plus_1 n_pos d_model"]
    """Residual stream after attention of each layer, and at the end."""
    resid_after: Float[Tensor, "n_layers_plus_1 n_pos d_model"]

    @property
    def probabilities_before(self) -> Float[Tensor, " d_vocab"]:
        """Next-token probabilities without the intervention."""
        return self.logits_before[-1].softmax(dim=0)

    @property
    def probabilities_after(self) -> Float[Tensor, " d_vocab"]:
        """Next-token probabilities with it."""
        return self.logits_after[-1].softmax(dim=0)


def intervene(
    bundle: HasReplacement | ReplacementModel,
    prompt: str | Sequence[int],
    interventions: Sequence[Intervention],
    *,
    mode: Mode = "direct",
    constrained_layer: int | None = None,
) -> InterventionResult:
    """Change feature activations and run the model.

    Each changed feature adds ``(value - activation) * W_dec`` to the MLP outputs it writes to.

    * ``direct``: attention patterns, norm denominators and MLP outputs stay as they were. Every
      node moves by exactly its graph edge from the feature, times the relative change.
    * ``constrained``: up to ``constrained_layer`` MLP outputs are clamped to their clean value plus
      the change; above it the model's own MLPs and norms run on, with patterns frozen.
    * ``iterative``: nothing is frozen; features are encoded again on the changed stream, and the
      clean reconstruction errors are added.

    Args:
        bundle: A bundle or a replacement model.
        prompt: As for ``attribute``.
        interventions: What to set; each feature at each position once.
        mode: See above.
        constrained_layer: The last clamped layer; the highest changed layer where None.

    Raises:
        GraphError: If a layer, position or feature does not exist, is named twice, or lies at
            position 0, where features are no nodes.
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    replacement = bundle if isinstance(bundle, ReplacementModel) else bundle.replacement
    model, transcoder = replacement.model, replacement.transcoder
    given = prompt if isinstance(prompt, str) else list(prompt)
    token_ids = encode_prompt(replacement.tokenizer, given, model.config.n_ctx)
    check_interventions(interventions, transcoder, len(token_ids))
    tokens = torch.tensor([token_ids])
    with torch.no_grad():
        clean = model.record(tokens)
        before = feature_pre_activations(transcoder, clean)
        if mode == "iterative":
            changed = run_iterative(model, transcoder, tokens, clean, interventions)
        else:
            delta = output_changes(transcoder, before, interventions)
            highest = max((item.layer for item in interventions), default=0)
            last = highest if constrained_layer is None else constrained_layer
            last = model.config.n_layers - 1 if mode == "direct" else last
            changed = run_clamped(
                replacement, tokens, clean, delta, last, freeze_norms=mode == "direct"
            )
        after = feature_pre_activations(transcoder, changed)
    return InterventionResult(
        mode,
        tuple(token_ids),
        clean.logits[0],
        changed.logits[0],
        before,
        after,
        residual_streams(clean),
        residual_streams(changed),
    )


def check_interventions(
    interventions: Sequence[Intervention], transcoder: CrossLayerTranscoder, n_pos: int
) -> None:
    """Refuse places that do not exist.

    Raises:
        GraphError: Naming the first wrong place.
    """
    seen = set()
    for item in interventions:
        place = (item.layer, item.position, item.feature)
        check_place(transcoder.config, n_pos, place, "Intervention at")
        if place in seen:
            raise GraphError(f"Layer, position and feature {place} are set twice; set them once.")
        seen.add(place)


def feature_pre_activations(
    transcoder: CrossLayerTranscoder, record: Activations
) -> Float[Tensor, "n_layers n_pos d_transcoder"]:
    """Return every feature's pre-activation in a recorded pass over one sequence."""
    read_point = transcoder.config.read_point
    rows = [
        transcoder.pre_activations(site.layer, site.read(read_point)[0]) for site in record.sites
    ]
    return torch.stack(rows)


def residual_streams(record: Activations) -> Float[Tensor, "n_layers_plus_1 n_pos d_model"]:
    """Return the stream before each MLP and after the last layer."""
    return torch.stack([*(site.resid_mid[0] for site in record.sites), record.resid_post[0]])


def output_changes(
    transcoder: CrossLayerTranscoder,
    pre_activations: Float[Tensor, "n_layers n_pos d_transcoder"],
    interventions: Sequence[Intervention],
) -> Float[Tensor, "n_layers n_pos d_model"]:
    """Return what the interventions add to every MLP output."""
    n_layers, n_pos, _ = pre_activations.shape
    delta = pre_activations.new_zeros(n_layers, n_pos, transcoder.config.d_model)
    for item in interventions:
        pre_act = pre_activations[item.layer, item.position, item.feature]
        active = pre_act > transcoder.threshold[item.layer, item.feature]
        change = item.value - float(pre_act) * float(active)
        vectors = transcoder.decoder_vectors(item.layer, torch.tensor([item.feature]))[0]
        delta[:, item.position] += change * vectors
    return delta


def run_clamped(
    replacement: ReplacementModel,
    tokens: Tensor,
    clean: Activations,
    delta: Float[Tensor, "n_layers n_pos d_model"],
    last_layer: int,
    *,
    freeze_norms: bool,
) -> Activations:
    """Run with MLP outputs up to a layer set to their clean value plus a change.

    What skips the features is no MLP output of theirs: it follows what the layer now reads.
    """
    transcoder, read_point = replacement.transcoder, replacement.transcoder.config.read_point

    def clamp(site: MlpSite) -> Tensor:
        if site.layer > last_layer:
            return site.mlp_out
        before = clean.sites[site.layer]
        moved = site.read(read_point) - before.read(read_point)
        return before.mlp_out + delta[site.layer] + transcoder.skip(site.layer, moved)

    return replacement.model.record(tokens, edit_mlp=clamp, frozen=clean, freeze_norms=freeze_norms)


def run_iterative(
    model: Transformer,
    transcoder: CrossLayerTranscoder,
    tokens: Tensor,
    clean: Activations,
    interventions: Sequence[Intervention],
) -> Activations:
    """Run on features that are encoded again, plus the clean reconstruction errors."""
    pre_acts = feature_pre_activations(transcoder, clean)
    acts = pre_acts * (pre_acts > transcoder.threshold[:, None])
    outputs = torch.stack([site.mlp_out[0] for site in clean.sites])
    read_point = transcoder.config.read_point
    inputs = torch.stack([site.read(read_point)[0] for site in clean.sites])
    errors = outputs - transcoder.decode(acts, inputs)
    encoded: list[Tensor] = []

    def replace_mlp(site: MlpSite) -> Tensor:
        read = site.read(read_point)[0]
        now = transcoder.encode(site.layer, read)
        for item in interventions:
            if item.layer == site.layer:
                now[item.position, item.feature] = item.value
        encoded.append(transcoder.write(site.layer, now))
        out = transcoder.b_dec[site.layer] + transcoder.skip(site.layer, read) + errors[site.layer]
        for layer, writes in enumerate(encoded):
            if site.layer - layer < writes.shape[-2]:
                out = out + writes[:, site.layer - layer]
        return out[None]

    return model.record(tokens, edit_mlp=replace_mlp)
