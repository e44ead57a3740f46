"""Many runs on features that are encoded again, from the first layer and position that change."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.interventions.changes import Change, Deltas, Intervention
from circuitscope_core.interventions.clean import CleanPass
from circuitscope_core.transcoder import CrossLayerTranscoder, nonzero_entries
from circuitscope_core.transformer import MlpSite, look_at_mlp


def run_iterative_suffix(
    clean: CleanPass,
    deltas: Deltas,
    sets: Sequence[Sequence[Change]],
    first_layer: int,
    start: int,
) -> Float[Tensor, "batch d_vocab"]:
    """Return the next token's logits that ``run_iterative`` gives, from what can move alone.

    Every MLP output is its clean value, plus what is changed by hand, plus what features of this
    and lower layers write more or less than in the clean pass: few of them do.

    Args:
        clean: The clean pass.
        deltas: What the sets add.
        sets: Checked changes of each run.
        first_layer: The lowest changed layer of all sets; -1 where tokens change.
        start: The first position that changes.
    """
    model, transcoder = clean.replacement.model, clean.replacement.transcoder
    read_point, n_layers = transcoder.config.read_point, model.config.n_layers
    batch = len(sets)
    if first_layer < 0:
        resid = clean.stream_before(0).expand(batch, -1, -1) + deltas.embedded
    else:
        resid = clean.stream_before(first_layer + 1) + deltas.outputs[:, first_layer]
    answers = deltas.outputs.clone()
    for layer in range(first_layer + 1, n_layers):
        block, before = model.block(layer), clean.record.sites[layer]
        rows = torch.arange(start if layer < n_layers - 1 else clean.n_pos - 1, clean.n_pos)
        mid = (resid + block.attn(block.ln1(resid)))[:, rows]
        site = look_at_mlp(block, layer, mid, block.ln2.scale(mid))
        was = before.read(read_point)[:, rows]
        _add_answers(clean, site, sets, rows, answers)
        skipped = transcoder.skip(layer, site.read(read_point) - was)
        out = before.mlp_out[:, rows] + answers[:, layer, rows] + skipped
        resid = clean.stream_before(layer + 1).repeat(batch, 1, 1)
        resid[:, rows] = mid + out
    return model.unembed_residual(model.ln_final(resid[:, -1]))


def _add_answers(
    clean: CleanPass,
    site: MlpSite,
    sets: Sequence[Sequence[Change]],
    rows: Int[Tensor, " n_rows"],
    answers: Float[Tensor, "batch n_layers n_pos d_model"],
) -> None:
    """Add what a layer's features write beyond the clean pass, those set by hand aside."""
    transcoder, layer = clean.replacement.transcoder, site.layer
    pre_acts = transcoder.pre_activations(layer, site.read(transcoder.config.read_point))
    for number, changes in enumerate(sets):
        for item in changes:
            if isinstance(item, Intervention) and item.layer == layer:
                before = clean.pre_activations[layer, item.position, item.feature]
                pre_acts[number, rows == item.position, item.feature] = before
    written = _written(transcoder, layer, pre_acts.flatten(0, 1))
    usual = _written(transcoder, layer, clean.pre_activations[layer, rows])
    more = written.unflatten(0, (len(sets), len(rows))) - usual
    reached = torch.arange(layer, layer + more.shape[2])
    answers[:, reached[:, None], rows] += more.transpose(1, 2)


def _written(
    transcoder: CrossLayerTranscoder, layer: int, pre_acts: Float[Tensor, "n d_transcoder"]
) -> Float[Tensor, "n n_writes d_model"]:
    """Return what one layer's features write, from those above their threshold alone."""
    places, features = nonzero_entries(pre_acts > transcoder.threshold[layer])
    used, numbers = features.unique(return_inverse=True)
    decoders = transcoder.decoder_rows(layer, used)
    counts = torch.bincount(places, minlength=len(pre_acts))
    written: Tensor = F.embedding_bag(
        numbers,
        decoders.flatten(1),
        counts.cumsum(0) - counts,
        mode="sum",
        per_sample_weights=pre_acts[places, features],
    )
    return written.view(len(pre_acts), *decoders.shape[1:])
