"""Changes by hand: features, errors and tokens, each at one position or at all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.arguments import CheckedFields
from circuitscope_core.errors import GraphError
from circuitscope_core.feature_dictionary import check_place
from circuitscope_core.language_model import norm_at, through_norm
from circuitscope_core.prompt_pass import PromptPass


@dataclass(frozen=True)
class Intervention(CheckedFields):
    """Set one feature's activation, at one position or at every one but the separator's.

    0 ablates it.
    """

    layer: int
    position: int | None
    feature: int
    value: float


@dataclass(frozen=True)
class ErrorIntervention(CheckedFields):
    """Multiply what the transcoder leaves of an MLP output at one position. 0 ablates it."""

    layer: int
    position: int
    scale: float = 0.0


@dataclass(frozen=True)
class TokenIntervention(CheckedFields):
    """Multiply a token's embedding, or put another token in its place. A scale of 0 ablates it.

    With another token everything else about the position stays: only its embedding is patched. A
    norm over embeddings, where the model has one, keeps its denominators.
    """

    position: int
    scale: float = 0.0
    token_id: int | None = None


Change: TypeAlias = Intervention | ErrorIntervention | TokenIntervention


@dataclass(frozen=True)
class Deltas:
    """Vectors that sets of changes add to embeddings and MLP outputs, a set for each batch entry.

    Features and errors change MLP outputs, tokens change embeddings.
    """

    embedded: Float[Tensor, "batch n_pos d_model"]
    outputs: Float[Tensor, "batch n_layers n_pos d_model"]


def check_changes(changes: Sequence[Change], clean: PromptPass) -> tuple[Change, ...]:
    """Refuse places that do not exist; return one change for each place.

    Raises:
        GraphError: Naming the first wrong place, or one that is changed twice.
    """
    shape, explained = clean.replacement.transcoder.shape, clean.explained
    spread = [item for change in changes for item in _at_each_position(change, explained)]
    seen = set()
    for item in spread:
        if isinstance(item, Intervention):
            assert item.position is not None, "every position has its own by now"
            check_place(
                shape, explained, (item.layer, item.position, item.feature), "Intervention at"
            )
            place: tuple[object, ...] = ("feature", item.layer, item.position, item.feature)
        elif isinstance(item, ErrorIntervention):
            check_place(shape, explained, (item.layer, item.position, 0), "Intervention at")
            place = ("error", item.layer, item.position)
        else:
            _check_token(item, clean.n_pos, clean.replacement.tokenizer.d_vocab)
            place = ("token", item.position)
        if place in seen:
            raise GraphError(f"The {place[0]} at {place[1:]} is set twice; set it once.")
        seen.add(place)
    return tuple(spread)


def _at_each_position(change: Change, positions: range) -> tuple[Change, ...]:
    if isinstance(change, Intervention) and change.position is None:
        return tuple(replace(change, position=position) for position in positions)
    return (change,)


def _check_token(item: TokenIntervention, n_pos: int, d_vocab: int) -> None:
    if not 0 <= item.position < n_pos:
        raise GraphError(
            f"Intervention at position {item.position}; it must be from 0 to {n_pos - 1}."
        )
    if item.token_id is not None and not 0 <= item.token_id < d_vocab:
        raise GraphError(f"There is no token {item.token_id}; give one from 0 to {d_vocab - 1}.")


def deltas_of(clean: PromptPass, sets: Sequence[Sequence[Change]]) -> Deltas:
    """Return what sets of checked changes add, all else being as in the clean pass."""
    like = clean.error_vectors
    embedded = like.new_zeros(len(sets), *like.shape[1:])
    outputs = like.new_zeros(len(sets), *like.shape)
    _add_features(clean, sets, outputs)
    for number, changes in enumerate(sets):
        for item in changes:
            if isinstance(item, ErrorIntervention):
                error = clean.error_vectors[item.layer, item.position]
                outputs[number, item.layer, item.position] += (item.scale - 1) * error
            elif isinstance(item, TokenIntervention):
                embedded[number, item.position] += _token_change(clean, item)
    return Deltas(embedded, outputs)


def _token_change(clean: PromptPass, item: TokenIntervention) -> Float[Tensor, " d_model"]:
    """Return what a changed token adds to the first stream at its position."""
    before = clean.record.token_vectors[0, item.position].detach()
    if item.token_id is None:
        return item.scale * before - before
    token = clean.features.new_tensor([item.token_id])
    vector = clean.replacement.model.token_vectors(token).detach()
    norm = norm_at(clean.record.sequence().embedding_norm, [item.position])
    return through_norm(norm, vector)[0] - before


def _add_features(clean: PromptPass, sets: Sequence[Sequence[Change]], outputs: Tensor) -> None:
    """Add ``(value - activation) * W_dec`` for every feature, one layer's at a time."""
    transcoder = clean.replacement.transcoder
    items = [
        (number, item)
        for number, changes in enumerate(sets)
        for item in changes
        if isinstance(item, Intervention)
    ]
    for layer in sorted({item.layer for _, item in items}):
        here = [(number, item) for number, item in items if item.layer == layer]
        index = clean.features.new_tensor
        numbers = index([number for number, _ in here])
        positions = index([item.position for _, item in here])
        features = index([item.feature for _, item in here])
        values = outputs.new_tensor([item.value for _, item in here])
        change = values - clean.dense_activations[layer, positions, features]
        written = transcoder.decoder_rows(layer, features) * change[:, None, None]
        for step, vectors in enumerate(written.unbind(dim=1)):
            outputs.index_put_((numbers, index(layer + step), positions), vectors, accumulate=True)
