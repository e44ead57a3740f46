"""Cards that somebody published beside a transcoder: ``features/``, read one feature at a time.

Two layouts are read, those of circuit-tracer and of Neuronpedia:

* ``index.json.gz`` names a file of each layer and the place of each feature in it. There, four
  bytes give the length of what follows, in little-endian order, and then comes compressed JSON.
* One JSON file for each feature, named by Cantor's number of its layer and number.
"""

import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from circuitscope_core.arguments import checked
from circuitscope_core.errors import BundleError
from circuitscope_core.feature_cards.cards import (
    SCHEMA,
    FeatureCard,
    FeatureCards,
    empty_card,
)
from circuitscope_core.feature_cards.published_json import card_from_json, parse_json
from circuitscope_core.files import place_of

INDEX = "index.json.gz"
FOLDER = "features"
LARGEST_INDEX = 1 << 30
LARGEST_CARD = 16 << 20
"""Bytes when unpacked; more is no index, and no card."""
N_KEPT = 2_000
"""Cards that were read last and are kept."""
AGAIN = "Download the file again, or take the folder away to go without these cards."


class _Files(Protocol):
    """A folder of cards, in one of the layouts."""

    def places(self) -> list[tuple[int, int]]:
        """Return layer and number of all features with a card, sorted."""

    def text(self, layer: int, feature: int) -> bytes | None:
        """Return the JSON of a card; None where a feature has none."""


@dataclass(frozen=True)
class _OneFileEach:
    folder: Path

    def places(self) -> list[tuple[int, int]]:
        names = (path.stem for path in self.folder.glob("*.json"))
        return sorted(cantor_unpair(int(name)) for name in names if name.isdecimal())

    def text(self, layer: int, feature: int) -> bytes | None:
        path = self.folder / f"{(layer + feature) * (layer + feature + 1) // 2 + feature}.json"
        return _read(path, 0, LARGEST_CARD) if path.is_file() else None


@dataclass(frozen=True)
class _Packed:
    folder: Path

    @cached_property
    def _index(self) -> Mapping[int, tuple[str, list[int]]]:
        """The name of each layer's file, and the places of its features in it."""
        path = self.folder / INDEX
        data = parse_json(_unpacked(path, _read(path, 0, LARGEST_INDEX), LARGEST_INDEX), path)
        rows = dict(enumerate(data)) if isinstance(data, list) else data
        if not isinstance(rows, dict):
            raise BundleError(f"{path} holds a {type(data).__name__}, and no layers. {AGAIN}")
        return {_layer_of(path, key): _entry_of(path, key, rows[key]) for key in rows if rows[key]}

    def places(self) -> list[tuple[int, int]]:
        return [
            (layer, feature)
            for layer in sorted(self._index)
            for feature, (begin, end) in enumerate(pairwise(self._index[layer][1]))
            if end > begin
        ]

    def text(self, layer: int, feature: int) -> bytes | None:
        name, offsets = self._index.get(layer, ("", []))
        if feature + 1 >= len(offsets):
            return None
        begin, end = offsets[feature : feature + 2]
        if begin == end:
            return None
        path = self.folder / name
        if not path.is_file():
            raise BundleError(f"{self.folder / INDEX} names {name!r}, which is not there. {AGAIN}")
        data = _read(path, begin, end - begin)
        length = int.from_bytes(data[:4], "little")
        if length > len(data) - 4:
            raise BundleError(
                f"{path} is too short for feature {feature} of layer {layer}: {length} bytes are "
                f"promised at byte {begin}, and {max(0, len(data) - 4)} are there. {AGAIN}"
            )
        return _unpacked(path, data[4 : 4 + length], LARGEST_CARD)


NAME = re.compile(r"(?!\.\.?$)[^/\\\x00\ud800-\udfff]{1,200}")
"""A name of a file in the same folder."""


def _layer_of(path: Path, key: object) -> int:
    text = str(key)
    if not (text.isascii() and text.isdecimal()) or len(text) > 6:
        raise BundleError(f"{path} has {text!r:.40} in the place of a layer's number. {AGAIN}")
    return int(text)


def _entry_of(path: Path, key: object, entry: object) -> tuple[str, list[int]]:
    """Return a layer's file and its offsets, if they can be what they are meant to be."""
    data = entry if isinstance(entry, dict) else {}
    name, offsets = data.get("filename"), data.get("offsets")
    offsets = offsets if isinstance(offsets, list) else None
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BundleError(
            f"{path} has {name!r:.60} as the filename of layer {key}; it must be the name of a "
            f"file in the same folder. {AGAIN}"
        )
    whole = [number for number in offsets or () if type(number) is int]
    if whole != offsets or any(end < begin for begin, end in pairwise([0, *whole])):
        raise BundleError(f"{path} has offsets of layer {key} that do not rise. {AGAIN}")
    return name, whole


def _read(path: Path, begin: int, size: int) -> bytes:
    """Return bytes of a file.

    Raises:
        BundleError: If it cannot be read.
    """
    if size > LARGEST_INDEX:
        raise BundleError(f"A card in {path} takes {size:,} bytes, which is none. {AGAIN}")
    try:
        with path.open("rb") as file:
            file.seek(begin)
            return file.read(size)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}. {AGAIN}") from error


def _unpacked(path: Path, data: bytes, most: int) -> bytes:
    """Return the bytes that zlib or gzip packed, if they are at most ``most``."""
    try:
        packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        text = packed.decompress(data, most)
    except zlib.error as error:
        raise BundleError(f"{path} is damaged: {error}. {AGAIN}") from error
    if not packed.eof:
        cut = "is damaged: its packed data end too early"
        fault = f"unpacks to more than {most:,} bytes" if len(text) >= most else cut
        raise BundleError(f"{path} {fault}. {AGAIN}")
    return text


def cantor_unpair(number: int) -> tuple[int, int]:
    """Return the layer and the feature behind Cantor's number for both."""
    diagonal = (math.isqrt(8 * number + 1) - 1) // 2
    feature = number - diagonal * (diagonal + 1) // 2
    return diagonal - feature, feature


class PublishedCards(FeatureCards):
    """Cards in a folder, each of which is read when it is asked for.

    Tokens are texts, as the folder has them, and have no ids.
    """

    def __init__(
        self,
        folder: Path,
        d_transcoder: int,
        labels: Mapping[tuple[int, int], str] | None = None,
    ) -> None:
        super().__init__(SCHEMA.empty_table(), d_transcoder, labels)
        self.folder = folder
        self._files: _Files = (
            _Packed(folder) if (folder / INDEX).is_file() else _OneFileEach(folder)
        )
        self._read: Callable[[int, int], FeatureCard | None] = lru_cache(N_KEPT)(self._read_card)

    def _read_card(self, layer: int, feature: int) -> FeatureCard | None:
        text = self._files.text(layer, feature)
        name = f"The card of feature {feature} of layer {layer} in {self.folder}"
        return None if text is None else card_from_json(text, (layer, feature), name)

    def __repr__(self) -> str:
        return f"PublishedCards({str(self.folder)!r})"

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return self._files.places()

    def with_labels(self, labels: Mapping[tuple[int, int], str]) -> "PublishedCards":
        """Return the cards with a person's labels, by layer and feature, in the place of ours."""
        named = PublishedCards(self.folder, self._d_transcoder, labels)
        named._files, named._read = self._files, self._read
        return named

    def save(self, path: Path) -> None:
        """Read all cards and write them as one Parquet file."""
        bare = self.with_labels({})
        FeatureCards.of(list(bare), self._d_transcoder).save(path)

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self.card(*place) for place in self._places[index]]
        return self.card(*self._places[index])

    def card(self, layer: int, feature: int) -> FeatureCard:
        """Return one feature's card; an empty one where none was published."""
        card = self._read(layer, feature) or empty_card(layer, feature)
        own = self._labels.get((layer, feature))
        return card if own is None else replace(card, label=own, by_hand=True)

    def has_card(self, layer: int, feature: int) -> bool:
        """Tell whether a feature has a card of its own."""
        return self._read(layer, feature) is not None

    def _field(self, name: str, layer: int, feature: int) -> Any:
        found = self._read(layer, feature)
        return None if found is None else getattr(found, name)

    def column(self, name: str) -> list[Any]:
        """Return one field of all cards, which are all read for it."""
        return [getattr(card, name) for card in self]


@checked
def open_published_cards(folder: str | Path, d_transcoder: int) -> PublishedCards:
    """Open the cards that lie in a transcoder's folder or in its ``features`` folder.

    Nothing but the index is read before a card is asked for.

    Args:
        folder: The folder of the transcoder, or that of the cards.
        d_transcoder: Features in each layer of the transcoder.

    Raises:
        BundleError: If there are no such cards; later, if a file is damaged.
    """
    found = published_folder(place_of(folder))
    if found is None:
        raise BundleError(
            f"{folder} has no feature cards: neither {INDEX} nor files such as 0.json, there or "
            f"in {FOLDER}/. Name the folder of a transcoder that has them."
        )
    return PublishedCards(found, d_transcoder)


def published_folder(folder: Path) -> Path | None:
    """Return the folder of cards that a transcoder's folder has or is; None where it has none."""
    for place in (folder / FOLDER, folder):
        numbered = (path for path in place.glob("*.json") if path.stem.isdecimal())
        if (place / INDEX).is_file() or next(numbered, None) is not None:
            return place
    return None
