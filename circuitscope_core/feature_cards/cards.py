"""What a feature responds to, as values, and their Parquet file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from circuitscope_core.errors import BundleError
from circuitscope_core.values import one_line

N_HISTOGRAM_BINS = 40
N_QUANTILES = 99
EXAMPLE_KINDS = ("top", "middle", "low")
"""Strongest first: top activations, and samples from the middle and lowest third below them."""


@one_line
@dataclass(frozen=True)
class Example:
    """A piece of text on which a feature fires."""

    kind: str
    """One of ``EXAMPLE_KINDS``."""
    source: str
    """Which part of the corpus the text is from."""
    token_ids: tuple[int, ...]
    activations: tuple[float, ...]
    """The feature's activation at each token, 0 where it is silent."""
    peak: int
    """Index of the token that the example was chosen for."""


@one_line
@dataclass(frozen=True)
class FeatureCard:
    """Everything shown about one feature."""

    layer: int
    feature: int
    label: str
    """Made by rule from examples and promoted tokens; empty for a feature that never fires."""
    frequency: float
    """Share of tokens on which it fires."""
    max_activation: float
    histogram: tuple[int, ...]
    """Counts of activations above 0 in ``N_HISTOGRAM_BINS`` equal bins up to the maximum."""
    quantiles: tuple[float, ...]
    """Activations above 0 at the percentiles 1 to 99."""
    top_tokens: tuple[int, ...]
    """Token ids whose logits the feature's decoders raise most directly, strongest first."""
    bottom_tokens: tuple[int, ...]
    """Token ids whose logits they lower most, strongest first."""
    examples: tuple[Example, ...]
    by_hand: bool = False
    """Whether a person wrote the label."""

    @property
    def is_dead(self) -> bool:
        """Whether the feature fired on none of the tokens looked at."""
        return self.frequency == 0

    def percentile(self, activation: float) -> float:
        """Return the share of its activations above 0 that lie below ``activation``, 0 to 1."""
        return _share_below(self.quantiles, activation)


_EXAMPLE_TYPE = pa.struct(
    [
        ("kind", pa.string()),
        ("source", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("activations", pa.list_(pa.float32())),
        ("peak", pa.int32()),
    ]
)
SCHEMA = pa.schema(
    [
        ("layer", pa.int32()),
        ("feature", pa.int32()),
        ("label", pa.string()),
        ("frequency", pa.float64()),
        ("max_activation", pa.float32()),
        ("histogram", pa.list_(pa.int64())),
        ("quantiles", pa.list_(pa.float32())),
        ("top_tokens", pa.list_(pa.int32())),
        ("bottom_tokens", pa.list_(pa.int32())),
        ("examples", pa.list_(_EXAMPLE_TYPE)),
    ]
)


class FeatureCards(Sequence[FeatureCard]):
    """Cards of features, ordered by layer and feature; rows become objects on demand.

    A bundle has a card of each feature. A feature without one is given an empty card.
    """

    def __init__(
        self,
        table: pa.Table,
        d_transcoder: int,
        labels: Mapping[tuple[int, int], str] | None = None,
    ) -> None:
        self._table = table
        self._d_transcoder = d_transcoder
        self._labels = dict(labels or {})

    @cached_property
    def _rows(self) -> Mapping[tuple[int, int], int]:
        """The row of each layer and feature."""
        layers, features = (self._table[name].to_pylist() for name in ("layer", "feature"))
        return {place: row for row, place in enumerate(zip(layers, features, strict=True))}

    @classmethod
    def of(cls, cards: Sequence[FeatureCard], d_transcoder: int) -> "FeatureCards":
        """Collect cards that are ordered by layer and feature."""
        rows = [
            {**_columns_of(card), "examples": [vars(item) for item in card.examples]}
            for card in cards
        ]
        return cls(pa.Table.from_pylist(rows, schema=SCHEMA), d_transcoder)

    @classmethod
    def load(cls, path: Path, n_layers: int, d_transcoder: int) -> "FeatureCards":
        """Read a Parquet file.

        Raises:
            BundleError: If the file is unreadable, has other columns, or cards are missing.
        """
        try:
            table = pq.read_table(path, schema=SCHEMA)
        except (OSError, pa.ArrowException) as error:
            raise BundleError(f"The feature cards {path} cannot be read: {error}") from error
        if table.num_rows != n_layers * d_transcoder:
            raise BundleError(
                f"{path} has {table.num_rows} feature cards; the transcoder has "
                f"{n_layers * d_transcoder} features."
            )
        return cls(table, d_transcoder)

    def with_labels(self, labels: Mapping[tuple[int, int], str]) -> "FeatureCards":
        """Return the cards with a person's labels, by layer and feature, in the place of ours."""
        return FeatureCards(self._table, self._d_transcoder, labels)

    @property
    def labels(self) -> tuple[tuple[tuple[int, int], str], ...]:
        """A person's labels, ordered: what makes these cards others than the bundle's."""
        return tuple(sorted(self._labels.items()))

    def save(self, path: Path) -> None:
        """Write the Parquet file; labels of a person's are no part of it."""
        pq.write_table(self._table, path, compression="zstd", compression_level=9)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        card = _card_from_row(self._table.slice(row, 1).to_pylist()[0])
        label = self._labels.get((card.layer, card.feature))
        return card if label is None else replace(card, label=label, by_hand=True)

    def __iter__(self) -> Iterator[FeatureCard]:
        for row in range(len(self)):
            yield self[row]

    def card(self, layer: int, feature: int) -> FeatureCard:
        """Return one feature's card."""
        row = self._rows.get((layer, feature))
        if row is None:
            own = self._labels.get((layer, feature), "")
            return replace(empty_card(layer, feature), label=own, by_hand=bool(own))
        card = self[row]
        assert isinstance(card, FeatureCard)
        return card

    def _field(self, name: str, layer: int, feature: int) -> Any:
        """Return one field of a card, without the rest; None where there is no card."""
        row = self._rows.get((layer, feature))
        return None if row is None else self._table[name][row].as_py()

    def label(self, layer: int, feature: int) -> str:
        """Return one feature's label, without the rest of its card."""
        if (layer, feature) in self._labels:
            return self._labels[layer, feature]
        return str(self._field("label", layer, feature) or "")

    def frequency(self, layer: int, feature: int) -> float:
        """Return the share of tokens on which a feature fires, without the rest of its card."""
        return float(self._field("frequency", layer, feature) or 0)

    def percentile(self, layer: int, feature: int, activation: float) -> float:
        """Return what ``FeatureCard.percentile`` does, without the rest of the card."""
        return _share_below(self._field("quantiles", layer, feature) or (), activation)

    def column(self, name: str) -> list[Any]:
        """Return one field of all cards, for example ``frequency``, without the rest."""
        return list(self._table.column(name).to_pylist())


def empty_card(layer: int, feature: int) -> FeatureCard:
    """Return the card of a feature of which nothing is known."""
    return FeatureCard(layer, feature, "", 0.0, 0.0, (), (), (), (), ())


def _share_below(quantiles: Sequence[float], activation: float) -> float:
    return sum(value < activation for value in quantiles) / len(quantiles) if quantiles else 0.0


def _columns_of(card: FeatureCard) -> dict[str, Any]:
    return {name: value for name, value in vars(card).items() if name in SCHEMA.names}


def _card_from_row(row: dict[str, Any]) -> FeatureCard:
    examples = tuple(
        Example(
            item["kind"],
            item["source"],
            tuple(item["token_ids"]),
            tuple(item["activations"]),
            item["peak"],
        )
        for item in row["examples"]
    )
    lists = ("histogram", "quantiles", "top_tokens", "bottom_tokens")
    return FeatureCard(
        **{**row, **{name: tuple(row[name]) for name in lists}, "examples": examples}
    )
