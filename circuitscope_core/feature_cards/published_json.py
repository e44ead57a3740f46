"""One published card: the JSON that circuit-tracer and Neuronpedia read, as a ``FeatureCard``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from circuitscope_core.errors import BundleError
from circuitscope_core.feature_cards.cards import Example, FeatureCard, empty_card
from circuitscope_core.feature_cards.labels import label_feature
from circuitscope_core.tokenizer import SEPARATOR

PUBLISHED = "published"
"""The source of the examples: files do not name the text that these are from."""
LARGEST_COUNT = 10_000
"""Bars of a histogram of shares are scaled to whole numbers up to this."""
LONGEST_LIST = 100_000
LARGEST_NUMBER = 1e30


def parse_json(text: bytes, name: object) -> Any:
    """Return what JSON says.

    Raises:
        BundleError: If it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} holds no JSON: {error}. Download it again.") from error


def card_from_json(text: bytes, place: tuple[int, int], name: str) -> FeatureCard:
    """Return a card, labelled by the rules.

    Args:
        text: The JSON.
        place: Layer and number of the feature.
        name: Opens messages.

    Raises:
        BundleError: If something in it cannot be what it is meant to be.
    """
    data = parse_json(text, name)
    if not isinstance(data, dict):
        raise BundleError(f"{name} is no JSON object. Download it again.")
    fields = _Fields(data, name)
    _check_index(fields, place)
    examples = tuple(_examples(fields))
    top, bottom = fields.texts("top_logits"), fields.texts("bottom_logits")
    card = replace(
        empty_card(*place),
        frequency=fields.number("activation_frequency"),
        max_activation=fields.number("act_max"),
        min_activation=min(0.0, fields.number("act_min")),
        histogram=_counts(fields.numbers("histogram")),
        quantiles=fields.numbers("quantile_values"),
        examples=examples,
        top_texts=top,
        bottom_texts=bottom,
    )
    sides = [[item for item in examples if item.below == below] for below in (False, True)]
    labels = [_label(*side) for side in zip(sides, (top, bottom), strict=True)]
    return replace(card, label=labels[0], label_below=labels[1] if sides[1] else "")


@dataclass(frozen=True)
class _Fields:
    """The fields of a JSON object, each of which is of its kind or an error."""

    data: dict[str, Any]
    name: str

    def wrong(self, field: str, must: str) -> BundleError:
        return BundleError(
            f"{self.name} has {self.data.get(field)!r:.60} as {field}, which must be {must}. "
            "Download it again, or take the file away to go without this card."
        )

    def number(self, field: str) -> float:
        value = self.data.get(field, 0.0)
        if not _is_number(value):
            raise self.wrong(field, "a finite number")
        return float(value)

    def items(self, field: str, must: str) -> list[Any]:
        value = self.data.get(field, [])
        if not isinstance(value, list) or len(value) > LONGEST_LIST:
            raise self.wrong(field, must)
        return value

    def numbers(self, field: str) -> tuple[float, ...]:
        must = "a list of finite numbers"
        found = self.items(field, must)
        if not all(map(_is_number, found)):
            raise self.wrong(field, must)
        return tuple(map(float, found))

    def texts(self, field: str) -> tuple[str, ...]:
        must = "a list of texts"
        found = self.items(field, must)
        if not all(isinstance(text, str) for text in found):
            raise self.wrong(field, must)
        # a lone half of a surrogate pair is no text that can be written
        return tuple(text.encode("utf-8", "replace").decode() for text in found)

    def objects(self, field: str) -> list["_Fields"]:
        must = "a list of objects"
        found = self.items(field, must)
        if not all(isinstance(item, dict) for item in found):
            raise self.wrong(field, must)
        return [_Fields(item, self.name) for item in found]


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST_NUMBER  # not true of NaN


def _check_index(fields: _Fields, place: tuple[int, int]) -> None:
    """Refuse a card that says that it is another feature's."""
    layer, feature = place
    paired = (layer + feature) * (layer + feature + 1) // 2 + feature
    if fields.data.get("index", feature) not in (feature, paired):
        raise fields.wrong("index", f"{feature} or {paired}")


def _counts(values: Sequence[float]) -> tuple[int, ...]:
    if any(value < 0 for value in values):
        return ()
    whole = all(value == int(value) for value in values)
    scale = 1.0 if whole else LARGEST_COUNT / max(values)
    return tuple(round(value * scale) for value in values)


def _examples(fields: _Fields) -> list[Example]:
    """Return the examples; bands after the one with the strongest are halved by their order."""
    bands = fields.objects("examples_quantiles")
    names = [str(band.data.get("quantile_name", "")).lower() for band in bands]
    top = {n for n, name in enumerate(names) if "top" in name or "bottom" in name} or {0}
    others = [n for n in range(len(bands)) if n not in top]
    middle = set(others[: (len(others) + 1) // 2])
    kinds = ["top" if n in top else "middle" if n in middle else "low" for n in range(len(bands))]
    return [
        _example(item, kind)
        for band, kind in zip(bands, kinds, strict=True)
        for item in band.objects("examples")
    ]


def _example(fields: _Fields, kind: str) -> Example:
    texts, values = fields.texts("tokens"), fields.numbers("tokens_acts_list")
    if not texts or len(texts) != len(values):
        raise fields.wrong("tokens_acts_list", f"a list of {len(texts)} numbers, one a token")
    strongest = max(range(len(values)), key=lambda place: abs(values[place]))
    peak = fields.data.get("train_token_ind", strongest)
    if type(peak) is not int or peak not in range(len(texts)):
        raise fields.wrong("train_token_ind", f"the place of a token, from 0 to {len(texts) - 1}")
    return Example(kind, PUBLISHED, (), values, peak, texts)


class _TextTokens:
    """The different texts of a card as a vocabulary, so that the rules of labels work on them."""

    separator_id = -1

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    @property
    def d_vocab(self) -> int:
        return len(self.ids)

    def encode(self, text: str) -> list[int]:
        return [self.ids.setdefault(text, len(self.ids))]

    def decode(self, token_ids: list[int]) -> str:
        return "".join(map(self.token_text, token_ids))

    def token_text(self, token_id: int) -> str:
        return SEPARATOR if token_id < 0 else list(self.ids)[token_id]


def _label(examples: Sequence[Example], raised: Sequence[str]) -> str:
    tokens = _TextTokens()
    numbered = [
        replace(item, token_ids=tuple(tokens.encode(text)[0] for text in item.texts))
        for item in examples
    ]
    return label_feature(tokens, numbered, [tokens.encode(text)[0] for text in raised])
