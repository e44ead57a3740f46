"""The model run on changed features: clamped to its clean pass, or encoding again."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.interventions.changes import (
    Change,
    Deltas,
    ErrorIntervention,
    Intervention,
)
from circuitscope_core.interventions.clean import CleanPass
from circuitscope_core.transformer import Activations, MlpSite


def run_clamped(
    clean: CleanPass, deltas: Deltas, last_layer: int, *, freeze_norms: bool
) -> Activations:
    """Run with MLP outputs up to a layer set to their clean value plus a change.

    What skips the features is no MLP output of theirs: it follows what the layer now reads.
    """
    transcoder = clean.replacement.transcoder
    read_point = transcoder.config.read_point

    def clamp(site: MlpSite) -> Tensor:
        if site.layer > last_layer:
            return site.mlp_out
        before = clean.record.sites[site.layer]
        moved = site.read(read_point) - before.read(read_point)
        return before.mlp_out + deltas.outputs[:, site.layer] + transcoder.skip(site.layer, moved)

    return clean.replacement.model.record(
        _repeated(clean, len(deltas.embedded)),
        edit_mlp=clamp,
        embed_change=deltas.embedded,
        frozen=clean.record,
        freeze_norms=freeze_norms,
    )


def run_iterative(
    clean: CleanPass,
    sets: Sequence[Sequence[Change]],
    deltas: Deltas,
    *,
    freeze_patterns: bool = False,
    added: Float[Tensor, "batch n_layers n_pos d_model"] | None = None,
) -> Activations:
    """Run on features that are encoded again, plus the clean reconstruction errors.

    Args:
        clean: The clean pass.
        sets: What is set by hand in each run.
        deltas: Of the same sets; what they add to MLP outputs is encoded again and not read.
        freeze_patterns: True takes attention patterns from the clean pass: the local replacement
            model, but for the norms, which still follow the stream.
        added: Added to MLP outputs besides.
    """
    transcoder = clean.replacement.transcoder
    read_point = transcoder.config.read_point
    errors = _scaled_errors(clean, sets)
    if added is not None:
        errors = errors + added
    written: list[Tensor] = []

    def replace_mlp(site: MlpSite) -> Tensor:
        layer, read = site.layer, site.read(read_point)
        now = transcoder.encode(layer, read)
        for number, changes in enumerate(sets):
            for item in changes:
                if isinstance(item, Intervention) and item.layer == layer:
                    now[number, item.position, item.feature] = item.value
        written.append(transcoder.write(layer, now))
        out = transcoder.b_dec[layer] + transcoder.skip(layer, read) + errors[:, layer]
        for source, writes in enumerate(written):
            if layer - source < writes.shape[-2]:
                out = out + writes[..., layer - source, :]
        return out

    return clean.replacement.model.record(
        _repeated(clean, len(sets)),
        edit_mlp=replace_mlp,
        embed_change=deltas.embedded,
        frozen=clean.record if freeze_patterns else None,
        freeze_norms=False,
    )


def _repeated(clean: CleanPass, n: int) -> Tensor:
    return torch.tensor([clean.token_ids]).expand(n, -1)


def _scaled_errors(
    clean: CleanPass, sets: Sequence[Sequence[Change]]
) -> Float[Tensor, "batch n_layers n_pos d_model"]:
    errors = clean.errors.expand(len(sets), -1, -1, -1).clone()
    for number, changes in enumerate(sets):
        for item in changes:
            if isinstance(item, ErrorIntervention):
                errors[number, item.layer, item.position] *= item.scale
    return errors
