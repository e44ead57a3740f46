"""Global weights: what features do to each other over a corpus, whatever the prompt.

A virtual weight is the product of what one feature writes with what another reads. Over all pairs
most of them are interference between features that never fire together, so each is weighted by
activity: ERA, the expected residual attribution ``E[1(a_t > 0) a_s] V``, and TWERA, the target-
weighted one ``E[a_t a_s] / E[a_t] V``, with both features at one token.

Source: Ameisen et al. (2025), global weights,
https://transformer-circuits.pub/2025/attribution-graphs/methods.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.arguments import checked
from circuitscope_core.errors import BundleError
from circuitscope_core.language_model import back_through_norm, norm_before
from circuitscope_core.replacement import (
    ReplacementModel,
    thresholded_transcoder_of,
    transcoder_of,
)
from circuitscope_core.values import one_line

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WINDOWS_AT_ONCE = 16
KEPT = 10
"""Partners kept for each feature, in each direction."""
COLUMNS = ("target_layer", "target", "source_layer", "source", "virtual", "era", "twera")


@one_line
@dataclass(frozen=True)
class GlobalWeight:
    """How one feature acts on another one over the corpus."""

    source: tuple[int, int]
    """Layer and feature."""
    target: tuple[int, int]
    virtual: float
    era: float
    twera: float
    """All in units of the target's pre-activation; ``virtual`` for a source activation of 1."""


@one_line
@dataclass(frozen=True)
class GlobalWeights:
    """The strongest pairs of features by TWERA."""

    table: pa.Table
    """One row a pair, with ``COLUMNS``."""
    n_tokens: int
    """Size of the sample."""

    def inputs(self, layer: int, feature: int) -> tuple[GlobalWeight, ...]:
        """Return what acts on a feature most strongly, strongest first."""
        return self._partners("target", layer, feature)

    def outputs(self, layer: int, feature: int) -> tuple[GlobalWeight, ...]:
        """Return what a feature acts on most strongly, strongest first."""
        return self._partners("source", layer, feature)

    def _partners(self, side: str, layer: int, feature: int) -> tuple[GlobalWeight, ...]:
        columns, (order, keys) = self._columns, self._sorted[side]
        first, last = np.searchsorted(keys, [_key(layer, feature), _key(layer, feature) + 1])
        rows = order[first : min(last, first + KEPT)]
        return tuple(
            GlobalWeight(
                source=(int(columns["source_layer"][row]), int(columns["source"][row])),
                target=(int(columns["target_layer"][row]), int(columns["target"][row])),
                **{name: float(columns[name][row]) for name in ("virtual", "era", "twera")},
            )
            for row in rows
        )

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        return {name: _numbers(self.table[name]) for name in COLUMNS}

    @cached_property
    def _sorted(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Rows by each side's feature, strongest first, and the features' keys in that order."""
        found = {}
        for side in ("source", "target"):
            keys = _key(self._columns[f"{side}_layer"], self._columns[side])
            order = np.lexsort((-np.abs(self._columns["twera"]), keys))
            found[side] = (order, keys[order])
        return found

    def save(self, path: Path) -> None:
        """Write the pairs as Parquet."""
        table = self.table.replace_schema_metadata({"n_tokens": str(self.n_tokens)})
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def load(cls, path: Path, n_layers: int, d_transcoder: int) -> "GlobalWeights":
        """Read pairs.

        Raises:
            BundleError: If the file is no such table or names features that do not exist.
        """
        try:
            with pq.ParquetFile(path) as file:  # reads like read_table, without its own machinery
                table = file.read(use_threads=False)
            n_tokens = int((table.schema.metadata or {})[b"n_tokens"])
            found = [table[name] for name in COLUMNS]
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise BundleError(f"{path} holds no global weights: {error}") from error
        limits = [n_layers, d_transcoder, n_layers, d_transcoder]
        kinds = [pa.types.is_signed_integer] * 4 + [pa.types.is_floating] * 3
        for name, column, is_kind in zip(COLUMNS, found, kinds, strict=True):
            if not is_kind(column.type) or column.null_count:
                gaps = " with gaps" if column.null_count else ""
                raise BundleError(f"{path}: the column {name} holds {column.type}{gaps}.")
        columns = [_numbers(column) for column in found]
        for name, column, limit in zip(COLUMNS[:4], columns[:4], limits, strict=True):
            if len(column) and (column.min() < 0 or column.max() >= limit):
                raise BundleError(f"{path}: the column {name} leaves 0 to {limit - 1}.")
        return cls(table, n_tokens)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers without a gap.

    It is read from its memory: ``to_numpy`` loads pandas, which takes a quarter of a second.
    """
    values = column.combine_chunks()
    dtype = np.dtype(values.type.to_pandas_dtype())
    if not len(values):
        return np.empty(0, dtype)
    return np.frombuffer(values.buffers()[1], dtype, len(values), values.offset * dtype.itemsize)


def _key(layer: Any, feature: Any) -> Any:
    """Return one number for a layer and feature, numbers or arrays."""
    return np.int64(layer) << 32 | np.int64(feature)


@dataclass(frozen=True)
class Sample:
    """The features that are active on a sample of the corpus."""

    layers: "tuple[csr_array, ...]"
    """Each layer's activations ``[n_tokens, d_transcoder]``, without the zeros."""
    inverse_scales: Float[Tensor, " n_layers"]
    """Mean of 1 over LN2's denominator, in each layer; 1 where there is no LN2 to read through."""

    @property
    def n_tokens(self) -> int:
        """Size of the sample."""
        return int(self.layers[0].shape[0])


def measure_global_weights(
    replacement: ReplacementModel, windows: Int[Tensor, "n n_ctx"]
) -> Iterator[float | GlobalWeights]:
    """Measure the strongest pairs; yields the share done, and at last the weights.

    The activations of the sample are kept without their zeros, and one pair of layers is summed at
    a time: memory grows with the sample and with the square of a layer's features, not of all;
    time with the sample and the square of L0.

    Raises:
        ConfigError: If the features have no thresholds of their own.
    """
    thresholded_transcoder_of(replacement)
    sample: Sample | None = None
    for item in record_sample(replacement, windows):
        if isinstance(item, float):
            yield item / 2
        else:
            sample = item
    assert sample is not None
    shape = replacement.transcoder.shape
    layers = [layer for layer in range(shape.n_layers) if shape.has_features(layer)]
    pairs = [(source, target) for target in layers for source in layers if source < target]
    rows = []
    for done, (source, target) in enumerate(pairs):
        virtual = virtual_weights(replacement, source, target, sample.inverse_scales[target]).cpu()
        era, twera = weigh_by_activity(sample, source, target, virtual)
        rows.append(_strongest(source, target, virtual, era, twera))
        yield 0.5 + (done + 1) / (2 * len(pairs))
    empty = np.empty((len(COLUMNS), 0))
    yield GlobalWeights(_keep_partners(np.concatenate([empty, *rows], axis=1)), sample.n_tokens)


@torch.no_grad()
def record_sample(
    replacement: ReplacementModel, windows: Int[Tensor, "n n_ctx"]
) -> Iterator[float | Sample]:
    """Run the model on windows; yields the share done, and at last what was active."""
    from scipy.sparse import csr_array, vstack  # slow to import

    model, transcoder = replacement.model, replacement.transcoder
    n_layers, read_point = transcoder.shape.n_layers, transcoder.shape.read_point
    opening, device = model.shape.n_opening, model.tokens([0]).device
    layers: list[list[csr_array]] = [[] for _ in range(n_layers)]
    inverse = torch.zeros(n_layers, device="cpu", dtype=torch.float32)
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[first : first + WINDOWS_AT_ONCE].to(device)
        for layer, site in enumerate(model.mlp_pass(batch).sites):
            read = site.read(read_point)[:, opening:].flatten(end_dim=1)
            active = transcoder.active(layer, read)
            shape = (len(read), transcoder.shape.n_features)
            places = (active.tokens.cpu().numpy(), active.features.cpu().numpy())
            layers[layer].append(csr_array((active.values.cpu().numpy(), places), shape=shape))
            norm = norm_before(site.norm, read_point)
            # with no norm to read through, every token counts as 1
            counted = len(read) if norm is None else (1 / norm.scale[:, opening:]).sum().cpu()
            inverse[layer] += counted
        yield min(1.0, (first + WINDOWS_AT_ONCE) / len(windows))
    sample = tuple(vstack(pieces, format="csr") for pieces in layers)
    n_tokens = max(1, sample[0].shape[0])
    yield Sample(sample, inverse / n_tokens)


@checked
@torch.no_grad()
def virtual_weights(
    replacement: ReplacementModel, source: int, target: int, inverse_scale: Tensor
) -> Float[Tensor, "d_transcoder d_transcoder"]:
    """Return what each feature of one layer (column) adds to each of a higher one (row).

    For a source activation of 1, through the residual stream of one token. Where the encoder reads
    behind LN2, its gain and centring are part of the weight, and so is the mean of 1 over its
    denominator.
    """
    transcoder = transcoder_of(replacement)
    norm = replacement.model.read_norm(target, transcoder.config.read_point)
    read = transcoder.W_enc[target]
    if norm is not None:
        read = back_through_norm(norm, read) * inverse_scale
    written = transcoder.W_dec[source][:, : target - source].sum(dim=1)
    weights: Tensor = read @ written.T
    return weights


def weigh_by_activity(
    sample: Sample,
    source: int,
    target: int,
    virtual: Float[Tensor, "d_transcoder d_transcoder"],
) -> tuple[Tensor, Tensor]:
    """Return ERA and TWERA of one pair of layers, ``[target, source]`` as ``virtual``."""
    sources, targets = sample.layers[source], sample.layers[target]
    together = torch.from_numpy((targets.T @ sources).toarray())
    while_on = torch.from_numpy((targets.sign().T @ sources).toarray())
    total = torch.from_numpy(targets.sum(axis=0))
    era = while_on / max(1, sample.n_tokens) * virtual
    twera = together / total.clamp(min=torch.finfo(total.dtype).tiny)[:, None] * virtual
    return era, twera


def _strongest(source: int, target: int, *weights: Tensor) -> np.ndarray:
    """Return the pairs of two layers that are among either feature's strongest, as columns."""
    strength = weights[-1].abs()
    n_kept = min(KEPT, len(strength))
    chosen = torch.zeros_like(strength, dtype=torch.bool)
    chosen.scatter_(1, strength.topk(n_kept, dim=1).indices, value=True)
    chosen.scatter_(0, strength.topk(n_kept, dim=0).indices, value=True)
    targets, sources = (chosen & (strength > 0)).nonzero(as_tuple=True)
    places = [torch.full_like(targets, target), targets, torch.full_like(sources, source), sources]
    values = [weight[targets, sources] for weight in weights]
    return torch.stack([column.double() for column in places + values]).numpy()


def _keep_partners(rows: np.ndarray) -> pa.Table:
    """Keep what is among the strongest of either feature over all layers."""
    target_layer, target, source_layer, source, *_, twera = rows
    kept = np.zeros(rows.shape[1], dtype=bool)
    for layer, feature in ((target_layer, target), (source_layer, source)):
        order = np.lexsort((-np.abs(twera), feature, layer))
        key = np.stack([layer, feature])[:, order]
        begins = np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)][: len(order)]
        starts = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        kept[order[np.arange(len(order)) - starts < KEPT]] = True
    dtypes = [np.int16, np.int32, np.int16, np.int32] + [np.float32] * 3
    columns = [column[kept].astype(dtype) for column, dtype in zip(rows, dtypes, strict=True)]
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))
