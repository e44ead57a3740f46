"""Feature cards as values, and their Parquet file."""

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
    """A piece of text on which a feature fires.

    One at whose peak the activation is below 0 belongs to that side of a neuron.
    """

    kind: str
    """One of ``EXAMPLE_KINDS``."""
    source: str
    """Which part of the corpus the text is from."""
    token_ids: tuple[int, ...]
    activations: tuple[float, ...]
    """The feature's activation at each token, 0 where it is silent."""
    peak: int
    """Index of the token that the example was chosen for."""
    texts: tuple[str, ...] = ()
    """The tokens' texts, of an example that came without their ids."""

    @property
    def below(self) -> bool:
        """Whether it shows where a neuron is active below 0."""
        return bool(self.activations) and self.activations[self.peak] < 0


@one_line
@dataclass(frozen=True)
class FeatureCard:
    """Everything shown about one feature."""

    layer: int
    feature: int
    label: str
    """Made by rule from examples and promoted tokens; empty for a feature that never fires."""
    frequency: float
    """Share of tokens on which it fires, above 0."""
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
    label_below: str = ""
    """The label of a neuron where it is active below 0; empty for features, which never are."""
    min_activation: float = 0.0
    """The lowest activation; below 0 only for neurons and for a top-k without a ReLU."""
    frequency_below: float = 0.0
    """Share of tokens on which it is active below 0."""
    histogram_below: tuple[int, ...] = ()
    """Counts of activations below 0 in ``N_HISTOGRAM_BINS`` equal bins down to the minimum."""
    quantiles_below: tuple[float, ...] = ()
    """Sizes of the activations below 0 at the percentiles 1 to 99."""
    top_texts: tuple[str, ...] = ()
    """The texts of the top tokens, of a card that came without their ids."""
    bottom_texts: tuple[str, ...] = ()
    by_hand: bool = False
    """Whether a person wrote the label."""

    @property
    def is_dead(self) -> bool:
        """Whether the feature fired on none of the tokens looked at."""
        return self.frequency == 0 and self.frequency_below == 0

    def percentile(self, activation: float) -> float:
        """Return the share of its activations of the same sign that are smaller, 0 to 1."""
        return _share_below(getattr(self, _quantiles_of(activation)), activation)


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
        # not in files that were written before neurons had cards
        ("label_below", pa.string()),
        ("min_activation", pa.float32()),
        ("frequency_below", pa.float64()),
        ("histogram_below", pa.list_(pa.int64())),
        ("quantiles_below", pa.list_(pa.float32())),
        # of cards that came without token ids
        ("top_texts", pa.list_(pa.string())),
        ("bottom_texts", pa.list_(pa.string())),
        ("example_texts", pa.list_(pa.list_(pa.string()))),
    ]
)


class FeatureCards(Sequence[FeatureCard]):
    """Cards of features, ordered by layer and feature; rows become objects on demand.

    A transcoder has a card of each feature. In a large dictionary only some features have one; a
    feature without is given an empty card.
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
            {
                **_columns_of(card),
                "examples": [vars(item) for item in card.examples],
                "example_texts": [item.texts for item in card.examples],
            }
            for card in cards
        ]
        return cls(pa.Table.from_pylist(rows, schema=SCHEMA), d_transcoder)

    @classmethod
    def load(
        cls, path: Path, n_layers: int, d_transcoder: int, *, some: bool = False
    ) -> "FeatureCards":
        """Read a Parquet file.

        Args:
            path: The file.
            n_layers: Layers of the dictionary.
            d_transcoder: Features in each.
            some: Whether some features only may have cards.

        Raises:
            BundleError: If the file is unreadable, has other columns, cards are missing, or
                there is one of a feature that does not exist.
        """
        try:
            table = _read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise BundleError(f"The feature cards {path} cannot be read: {error}") from error
        if not some and table.num_rows != n_layers * d_transcoder:
            raise BundleError(
                f"{path} has {table.num_rows} feature cards; the transcoder has "
                f"{n_layers * d_transcoder} features."
            )
        cards = cls(table, d_transcoder)
        if some:
            cards._check_places(path, n_layers)
        return cards

    def _check_places(self, path: Path, n_layers: int) -> None:
        """Refuse a file with cards of features that do not exist, or two of one."""
        for layer, feature in self._rows:
            if layer not in range(n_layers) or feature not in range(self._d_transcoder):
                raise BundleError(
                    f"{path} has a card of feature {feature} of layer {layer}; the model has "
                    f"{n_layers} layers of {self._d_transcoder} features. Collect its cards again."
                )
        if len(self._rows) != len(self):
            raise BundleError(f"{path} has two cards of one feature; collect the cards again.")

    def with_labels(self, labels: Mapping[tuple[int, int], str]) -> "FeatureCards":
        """Return the cards with a person's labels, by layer and feature, in the place of ours."""
        return FeatureCards(self._table, self._d_transcoder, labels)

    def has_card(self, layer: int, feature: int) -> bool:
        """Tell whether a feature has a card of its own."""
        return (layer, feature) in self._rows

    def with_more(self, more: "FeatureCards") -> "FeatureCards":
        """Return these cards and others, of features that have none here."""
        order = [("layer", "ascending"), ("feature", "ascending")]
        table = pa.concat_tables([self._table, more._table]).sort_by(order)
        return FeatureCards(table, more._d_transcoder, self._labels)

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
        if isinstance(index, tuple):
            return self.card(*index)
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

    def label(self, layer: int, feature: int, activation: float = 1.0) -> str:
        """Return one feature's label; for a neuron that is active below 0 the one of that side."""
        if (layer, feature) in self._labels:
            return self._labels[layer, feature]
        side = "label_below" if activation < 0 else "label"
        return str(self._field(side, layer, feature) or "")

    def frequency(self, layer: int, feature: int) -> float:
        """Return the share of tokens on which a feature fires, without the rest of its card."""
        return float(self._field("frequency", layer, feature) or 0)

    def percentile(self, layer: int, feature: int, activation: float) -> float | None:
        """Return what ``FeatureCard.percentile`` does; None where no activations are known."""
        quantiles = self._field(_quantiles_of(activation), layer, feature)
        return _share_below(quantiles, activation) if quantiles else None

    def column(self, name: str) -> list[Any]:
        """Return one field of all cards, for example ``frequency``, without the rest."""
        return list(self._table.column(name).to_pylist())


def _read_table(path: Path) -> pa.Table:
    """Read a file's columns of ``SCHEMA``; those that it does not have are empty.

    Decompression takes three times the table, and Arrow's own pool would keep that memory.
    """
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            wanted = [name for name in SCHEMA.names if name in names]
            table = file.read(columns=wanted, use_threads=False)
    finally:
        pa.set_memory_pool(usual)
    columns = [
        table[field.name].cast(field.type)
        if field.name in names
        else pa.nulls(len(table), field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def empty_card(layer: int, feature: int) -> FeatureCard:
    """Return the card of a feature of which nothing is known."""
    return FeatureCard(layer, feature, "", 0.0, 0.0, (), (), (), (), ())


def _quantiles_of(activation: float) -> str:
    return "quantiles_below" if activation < 0 else "quantiles"


def _share_below(quantiles: Sequence[float], activation: float) -> float:
    size = abs(activation)
    return sum(value < size for value in quantiles) / len(quantiles) if quantiles else 0.0


def _columns_of(card: FeatureCard) -> dict[str, Any]:
    return {name: value for name, value in vars(card).items() if name in SCHEMA.names}


_LISTS = ("histogram", "quantiles", "top_tokens", "bottom_tokens")
_LATER_LISTS = ("histogram_below", "quantiles_below", "top_texts", "bottom_texts")
_LATER = {"label_below": "", "min_activation": 0.0, "frequency_below": 0.0}
"""Columns that older files lack, with the values that they then have."""


def _card_from_row(row: dict[str, Any]) -> FeatureCard:
    texts = row.pop("example_texts") or [()] * len(row["examples"])
    examples = tuple(map(_example_from, row["examples"], texts))
    lists = {name: tuple(row[name]) for name in _LISTS}
    lists |= {name: tuple(row[name] or ()) for name in _LATER_LISTS}
    later = {name: row[name] or missing for name, missing in _LATER.items()}
    return FeatureCard(**{**row, **lists, **later, "examples": examples})


def _example_from(item: dict[str, Any], texts: Sequence[str]) -> Example:
    lists = (tuple(item["token_ids"]), tuple(item["activations"]))
    return Example(item["kind"], item["source"], *lists, item["peak"], tuple(texts))
