"""The model run on changed features: clamped to its clean pass, or encoding again."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.interventions.changes import (
    Change,
    Deltas,
    ErrorIntervention,
    Intervention,
)
from circuitscope_core.interventions.neurons import SetNeurons
from circuitscope_core.language_model import MlpCall, Record
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.replacement import StreamingDecoder


def run_clamped(
    clean: PromptPass, deltas: Deltas, last_layer: int, *, freeze_norms: bool
) -> Record:
    """Run with MLP outputs up to a layer set to their clean value plus a change.

    A skip connection past the features is not clamped: it follows what the layer now reads.
    """
    return clean.replacement.model.record(
        repeated(clean, len(deltas.embedded)),
        edit_mlp=ClampedMlp(clean, deltas.outputs, last_layer, direct=freeze_norms),
        embed_change=deltas.embedded,
        clean=clean.record,
        frozen="norms" if freeze_norms else "patterns",
    )


@dataclass(frozen=True)
class ClampedMlp:
    """An edit that sets MLP outputs up to a layer to their clean value plus a change."""

    clean: PromptPass
    changes: Float[Tensor, "batch n_layers n_pos d_model"]
    last_layer: int
    direct: bool = True
    """False where later layers run on: then nothing goes past a model's own neurons, whose MLPs
    are clamped as a whole."""

    def __call__(self, call: MlpCall) -> Tensor:
        """Return the output; above the last clamped layer it is the MLP's own."""
        if call.layer > self.last_layer:
            return call.mlp_out()
        features, layer = self.clean.replacement.transcoder, call.layer
        rows = slice(None) if call.positions is None else call.positions
        out = self.clean.outputs[layer, rows] + self.changes[:, layer, rows]
        skips = features.shape.skip_connection and (self.direct or not features.shape.exact)
        if not skips:
            return out
        moved = call.read(features.shape.read_point) - self.clean.inputs[layer, rows]
        return out + features.skip(layer, moved, call.positions)


def run_iterative(
    clean: PromptPass,
    sets: Sequence[Sequence[Change]],
    deltas: Deltas,
    *,
    freeze_patterns: bool = False,
    added: Float[Tensor, "batch n_layers n_pos d_model"] | None = None,
) -> Record:
    """Run on features that are encoded again, plus the clean reconstruction errors.

    Args:
        clean: The clean pass.
        sets: What is set by hand in each run.
        deltas: Of the same sets; what they add to MLP outputs is encoded again and not read.
        freeze_patterns: True takes attention patterns from the clean pass: the local replacement
            model, but for the norms, which still follow the stream.
        added: Added to MLP outputs besides.
    """
    features = clean.replacement.transcoder
    if features.shape.exact:
        return clean.replacement.model.record(
            repeated(clean, len(sets)),
            edit_mlp=SetNeurons.of(clean, sets, added),
            embed_change=deltas.embedded,
            clean=clean.record if freeze_patterns else None,
            frozen="patterns",
        )
    errors = _scaled_errors(clean, sets)
    if added is not None:
        errors = errors + added
    decoder = StreamingDecoder(features)

    def replace_mlp(call: MlpCall) -> Tensor:
        layer, read = call.layer, call.read(features.shape.read_point)
        now = features.encode(layer, read)
        for number, changes in enumerate(sets):
            for item in changes:
                if isinstance(item, Intervention) and item.layer == layer:
                    now[number, item.position, item.feature] = item.value
        return decoder.add(layer, now) + features.skip(layer, read) + errors[:, layer]

    return clean.replacement.model.record(
        repeated(clean, len(sets)),
        edit_mlp=replace_mlp,
        embed_change=deltas.embedded,
        clean=clean.record if freeze_patterns else None,
        frozen="patterns",
    )


def repeated(clean: PromptPass, n: int) -> Tensor:
    """Return the prompt's token ids ``n`` times."""
    return clean.record.token_ids.expand(n, -1)


def _scaled_errors(
    clean: PromptPass, sets: Sequence[Sequence[Change]]
) -> Float[Tensor, "batch n_layers n_pos d_model"]:
    errors = clean.reconstruction_errors.expand(len(sets), -1, -1, -1).clone()
    for number, changes in enumerate(sets):
        for item in changes:
            if isinstance(item, ErrorIntervention):
                errors[number, item.layer, item.position] *= item.scale
    return errors
