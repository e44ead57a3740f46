"""Iterative interventions in batches: only layers and positions that can change are computed."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.feature_dictionary import FeatureDictionary
from circuitscope_core.interventions.changes import Change, Deltas, Intervention
from circuitscope_core.interventions.neurons import SetNeurons
from circuitscope_core.language_model import Frozen, MlpCall
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.transcoder import nonzero_entries


def run_iterative_suffix(
    clean: PromptPass,
    deltas: Deltas,
    sets: Sequence[Sequence[Change]],
    first_layer: int,
    start: int,
    *,
    frozen: Frozen = "nothing",
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
        frozen: Parts of the clean pass that the runs take over.
    """
    features, model = clean.replacement.transcoder, clean.replacement.model
    stream, layer = changed_stream(clean, deltas, first_layer, start)
    if features.shape.exact:
        edit = SetNeurons.of(clean, sets)
        return model.run_suffix(clean.record, stream, layer, start, edit_mlp=edit, frozen=frozen)
    answers = deltas.outputs.clone()
    read_point = features.shape.read_point

    def answer(call: MlpCall) -> Tensor:
        layer, rows = call.layer, call.positions
        if rows is None:  # a suffix that begins at position 0, as a masked model's does
            rows = torch.arange(call.mlp_in.shape[1], device=call.mlp_in.device)
        read = call.read(read_point)
        _add_answers(clean, layer, read, sets, rows, answers)
        skipped = features.skip(layer, read - clean.inputs[layer, rows])
        return clean.outputs[layer, rows] + answers[:, layer, rows] + skipped

    return model.run_suffix(clean.record, stream, layer, start, edit_mlp=answer, frozen=frozen)


def changed_stream(
    clean: PromptPass, deltas: Deltas, first_layer: int, start: int
) -> tuple[Float[Tensor, "batch n_seen d_model"], int]:
    """Return the changed stream from a position on, and the layer that it enters.

    Args:
        clean: The clean pass.
        deltas: Added to the clean stream.
        first_layer: The layer whose MLP output changes; -1 where tokens change.
        start: The first position that changes.
    """
    streams = clean.record.streams
    if first_layer < 0:
        return streams[0][:, start:] + deltas.embedded[:, start:], 0
    first = clean.record.layers[first_layer]
    if first.write_norm is not None or first.end_norm is not None:
        # the change goes through a norm before it reaches the stream: the layer itself has to run
        return streams[first_layer][:, start:].expand(len(deltas.outputs), -1, -1), first_layer
    change = deltas.outputs[:, first_layer, start:]
    return streams[first_layer + 1][:, start:] + change, first_layer + 1


def _add_answers(
    clean: PromptPass,
    layer: int,
    read: Float[Tensor, "batch n_rows d_model"],
    sets: Sequence[Sequence[Change]],
    rows: Int[Tensor, " n_rows"],
    answers: Float[Tensor, "batch n_layers n_pos d_model"],
) -> None:
    """Add what a layer's features write beyond the clean pass, those set by hand aside."""
    features = clean.replacement.transcoder
    usual_acts = clean.dense_activations[layer]
    acts = features.encode(layer, read)
    for number, changes in enumerate(sets):
        for item in changes:
            if isinstance(item, Intervention) and item.layer == layer:
                usual = usual_acts[item.position, item.feature]
                acts[number, rows == item.position, item.feature] = usual
    written = write_active(features, layer, acts.flatten(0, 1))
    usual = write_active(features, layer, usual_acts[rows])
    more = written.unflatten(0, (len(sets), len(rows))) - usual
    reached = torch.arange(layer, layer + more.shape[2], device=rows.device)
    answers[:, reached[:, None], rows] += more.transpose(1, 2)


def write_active(
    features: FeatureDictionary, layer: int, acts: Float[Tensor, "n d_transcoder"]
) -> Float[Tensor, "n n_writes d_model"]:
    """Return what one layer's features write, from the active ones alone."""
    places, numbers = nonzero_entries(acts != 0)
    used, which = numbers.unique(return_inverse=True)
    decoders = features.decoder_rows(layer, used)
    counts = torch.bincount(places, minlength=len(acts))
    written: Tensor = F.embedding_bag(
        which,
        decoders.flatten(1),
        counts.cumsum(0) - counts,
        mode="sum",
        per_sample_weights=acts[places, numbers],
    )
    return written.view(len(acts), *decoders.shape[1:])
