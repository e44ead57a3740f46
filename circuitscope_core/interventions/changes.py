"""What can be changed by hand: features, errors and tokens, each at one position or at all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.errors import GraphError
from circuitscope_core.interventions.clean import CleanPass
from circuitscope_core.transcoder import check_place


@dataclass(frozen=True)
class Intervention:
    """Set one feature's activation, at one position or at every one but the separator's.

    0 ablates it.
    """

    layer: int
    position: int | None
    feature: int
    value: float


@dataclass(frozen=True)
class ErrorIntervention:
    """Multiply what the transcoder leaves of an MLP output at one position. 0 ablates it."""

    layer: int
    position: int
    scale: float = 0.0


@dataclass(frozen=True)
class TokenIntervention:
    """Multiply a token's embedding, or put another token in its place. A scale of 0 ablates it.

    With another token everything else about the position stays: only its embedding is patched.
    """

    position: int
    scale: float = 0.0
    token_id: int | None = None


Change: TypeAlias = Intervention | ErrorIntervention | TokenIntervention


@dataclass(frozen=True)
class Deltas:
    """What sets of changes add to embeddings and MLP outputs; one set for each entry of the batch.

    Features and errors change MLP outputs, tokens change embeddings.
    """

    embedded: Float[Tensor, "batch n_pos d_model"]
    outputs: Float[Tensor, "batch n_layers n_pos d_model"]


def check_changes(changes: Sequence[Change], clean: CleanPass) -> tuple[Change, ...]:
    """Refuse places that do not exist; return one change for each place.

    Raises:
        GraphError: Naming the first wrong place, or one that is changed twice.
    """
    config, n_pos = clean.replacement.transcoder.config, clean.n_pos
    spread = [item for change in changes for item in _at_each_position(change, n_pos)]
    seen = set()
    for item in spread:
        if isinstance(item, Intervention):
            assert item.position is not None, "every position has its own by now"
            check_place(config, n_pos, (item.layer, item.position, item.feature), "Intervention at")
            place: tuple[object, ...] = ("feature", item.layer, item.position, item.feature)
        elif isinstance(item, ErrorIntervention):
            check_place(config, n_pos, (item.layer, item.position, 0), "Intervention at")
            place = ("error", item.layer, item.position)
        else:
            _check_token(item, n_pos, clean.replacement.tokenizer.d_vocab)
            place = ("token", item.position)
        if place in seen:
            raise GraphError(f"The {place[0]} at {place[1:]} is set twice; set it once.")
        seen.add(place)
    return tuple(spread)


def _at_each_position(change: Change, n_pos: int) -> tuple[Change, ...]:
    if isinstance(change, Intervention) and change.position is None:
        return tuple(replace(change, position=position) for position in range(1, n_pos))
    return (change,)


def _check_token(item: TokenIntervention, n_pos: int, d_vocab: int) -> None:
    if not 0 <= item.position < n_pos:
        raise GraphError(
            f"Intervention at position {item.position}; it must be from 0 to {n_pos - 1}."
        )
    if item.token_id is not None and not 0 <= item.token_id < d_vocab:
        raise GraphError(f"There is no token {item.token_id}; give one from 0 to {d_vocab - 1}.")


def deltas_of(clean: CleanPass, sets: Sequence[Sequence[Change]]) -> Deltas:
    """Return what sets of checked changes add, all else being as in the clean pass."""
    config = clean.replacement.transcoder.config
    like = clean.record.logits
    embedded = like.new_zeros(len(sets), clean.n_pos, config.d_model)
    outputs = like.new_zeros(len(sets), config.n_layers, clean.n_pos, config.d_model)
    _add_features(clean, sets, outputs)
    W_E = clean.replacement.model.embed.W_E.detach()
    for number, changes in enumerate(sets):
        for item in changes:
            if isinstance(item, ErrorIntervention):
                error = clean.errors[item.layer, item.position]
                outputs[number, item.layer, item.position] += (item.scale - 1) * error
            elif isinstance(item, TokenIntervention):
                before = W_E[clean.token_ids[item.position]]
                after = item.scale * before if item.token_id is None else W_E[item.token_id]
                embedded[number, item.position] += after - before
    return Deltas(embedded, outputs)


def _add_features(clean: CleanPass, sets: Sequence[Sequence[Change]], outputs: Tensor) -> None:
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
        numbers = torch.tensor([number for number, _ in here])
        positions = torch.tensor([item.position for _, item in here])
        features = torch.tensor([item.feature for _, item in here])
        values = torch.tensor([item.value for _, item in here])
        change = values - clean.activations[layer, positions, features]
        written = transcoder.decoder_rows(layer, features) * change[:, None, None]
        for step, vectors in enumerate(written.unbind(dim=1)):
            outputs.index_put_(
                (numbers, torch.tensor(layer + step), positions), vectors, accumulate=True
            )
