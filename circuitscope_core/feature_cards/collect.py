"""Make feature cards of windows of text: of all features of a dictionary, or of some."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import FeatureCardConfig
from circuitscope_core.feature_cards.cards import FeatureCard, FeatureCards
from circuitscope_core.feature_cards.examples import Candidates, CutOut, Examples, ExampleText
from circuitscope_core.feature_cards.keeping import Keeper
from circuitscope_core.feature_cards.labels import label_feature
from circuitscope_core.feature_cards.lens import is_named
from circuitscope_core.feature_cards.passes import Observer, OneSide, run_passes
from circuitscope_core.feature_cards.selection import Selection
from circuitscope_core.feature_cards.statistics import ActivationStatistics, Extent
from circuitscope_core.language_model import through_norm
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.training.checkpoints import CheckpointFile

N_PROMOTED = 10
NAMED_SHARE = 4e-5
"""Share of a text's tokens from which one may be named as promoted."""
LOGITS_AT_ONCE = 2_000_000
"""Numbers of a table of features and tokens that are in memory at once, about."""


LOWERS_MORE = 1.5
"""Ratio of the strongest effects from which a label names the token that is lowered."""


@dataclass(frozen=True)
class CollectedCards:
    """The cards, and the share of features that fired on none of ``n_tokens`` tokens."""

    cards: FeatureCards
    dead: float
    n_tokens: int


@dataclass(frozen=True)
class SideMeasured:
    """Everything that was measured of one side of each feature: above 0, or below."""

    statistics: ActivationStatistics
    examples: Examples


@dataclass(frozen=True, eq=False)
class CardPlan:
    """Which features get cards, what these may name, and how the work is kept."""

    places: Selection | None = None
    """The features; None for all."""
    named: Int[Tensor, " n_named"] | None = None
    """Tokens that may be named as promoted or suppressed; None for the windows' frequent ones."""
    file: CheckpointFile | None = None
    """The file for the state of the work; None keeps none."""
    work: str = ""
    """Hash of everything that decides the cards."""


def measure_cards(
    replacement: ReplacementModel,
    token_ids: Int[Tensor, "n n_pos"],
    text: ExampleText | None,
    config: FeatureCardConfig,
    seed: int = 0,
    plan: CardPlan = CardPlan(),  # a frozen value
) -> Generator[CollectedCards | float, None, None]:
    """Look at features on two passes over text; yields the share done, and at last the cards.

    Features that may be active below 0, as neurons are, get cards with two sides.

    Args:
        replacement: Model, features and tokenizer.
        token_ids: Windows to measure frequencies on.
        text: Windows to take examples from; None for cards without any text.
        config: How much is collected.
        seed: Decides which weaker examples are drawn.
        plan: Which features get cards, and the file in which the work is kept.
    """
    chosen = plan.places or Selection.every(replacement.transcoder.shape)
    keeper = Keeper(plan.file, plan.work)
    signs = (1, -1) if has_two_sides(replacement) else (1,)
    extents = [Extent(chosen) for _ in signs]
    candidates = [Candidates(chosen, config, seed) for _ in signs]
    work: list[tuple[Tensor, Observer]] = []
    for sign, extent, found in zip(signs, extents, candidates, strict=True):
        work.append((token_ids, OneSide(sign, extent)))
        if text is not None:
            work.append((text.token_ids, OneSide(sign, found)))
    with closing(kept_pass(replacement, work, chosen, keeper)) as shares:
        for share in shares:
            yield 0.5 * share
    statistics = [ActivationStatistics(extent) for extent in extents]
    work = [(token_ids, OneSide(sign, each)) for sign, each in zip(signs, statistics, strict=True)]
    cuts = [] if text is None else [cut_out(text, found, config) for found in candidates]
    work += [(cut.text.token_ids, cut) for cut in cuts]
    with closing(kept_pass(replacement, work, chosen, keeper)) as shares:
        for share in shares:
            yield 0.5 + 0.5 * share
    found_examples = [cut.examples() for cut in cuts] or [{} for _ in signs]
    sides = list(map(SideMeasured, statistics, found_examples))
    names = frequent_tokens(token_ids) if plan.named is None else plan.named
    cards = FeatureCards.of(
        make_cards(replacement, chosen, sides, names), replacement.transcoder.shape.n_features
    )
    silent = [extent.n_fired == 0 for extent in extents]
    dead = float((silent[0] & silent[-1]).mean())
    yield CollectedCards(cards, dead, extents[0].n_tokens)


def frequent_tokens(token_ids: Int[Tensor, "n n_pos"]) -> Int[Tensor, " n_named"]:
    """Return the tokens that are common enough in a text to be named as promoted.

    The logits of rare tokens are fitted badly, and would crowd out all others.
    """
    tokens, counts = token_ids.unique(return_counts=True)
    common: Tensor = tokens[counts >= NAMED_SHARE * token_ids.numel()]
    return common


def has_two_sides(replacement: ReplacementModel) -> bool:
    """Tell whether features may be active below 0, as neurons are."""
    (limit,) = replacement.transcoder.thresholds(replacement.model.tokens([0, 0, 0])).tolist()
    return bool(limit < 0)


def cut_out(text: ExampleText, candidates: Candidates, config: FeatureCardConfig) -> CutOut:
    """Return an observer that cuts the best of the candidates out of the text."""
    choices = tuple(candidates.choose(text.token_ids))
    return CutOut(text, choices, candidates.selection, config)


def kept_pass(
    replacement: ReplacementModel,
    work: Sequence[tuple[Tensor, Observer]],
    places: Selection,
    keeper: Keeper,
) -> Generator[float, None, None]:
    """Run one pass, going on where a file says that it stopped, and keep its state there."""
    seen = keeper.begin([observer for _, observer in work])
    passes = run_passes(replacement.model, replacement.transcoder, work, places, seen)
    for share in passes:
        keeper.saw_batch()
        try:
            yield share
        except GeneratorExit:
            keeper.save()
            raise
    keeper.save()


def make_cards(
    replacement: ReplacementModel,
    places: Selection,
    sides: Sequence[SideMeasured],
    named: Int[Tensor, " n_named"],
) -> list[FeatureCard]:
    """Put together what was measured, ordered by layer and feature.

    Args:
        replacement: Model, features and tokenizer.
        places: The features.
        sides: What was measured above 0, and below for features with two sides.
        named: The tokens that may be named as promoted or suppressed. Training never fits the
            logits of tokens that no text has, so that they would crowd out all others.
    """
    cards = []
    for layer, features in enumerate(places.features):
        tokens = moved_tokens(replacement, layer, features.tolist(), named)
        first = places.starts[layer]
        for row, (number, moved) in enumerate(zip(features.tolist(), tokens, strict=True), first):
            above = _side_of(replacement, sides[0], (layer, number, row), moved)
            card = FeatureCard(
                layer=layer,
                feature=number,
                **above,
                max_activation=float(sides[0].statistics.extent.maximum[row]),
                top_tokens=moved.raised,
                bottom_tokens=moved.lowered,
            )
            if len(sides) == 2:
                below = _side_of(replacement, sides[1], (layer, number, row), moved.negative())
                card = _with_side_below(card, sides[1], row, below)
            cards.append(card)
    return cards


def _side_of(
    replacement: ReplacementModel,
    side: SideMeasured,
    place: tuple[int, int, int],
    moved: "MovedTokens",
) -> dict[str, Any]:
    """Return the fields of a card that one side has: label, frequency, histogram, examples."""
    layer, number, row = place
    statistics = side.statistics
    frequency = statistics.frequency(row)
    found = side.examples.get((layer, number), [])
    label = ""
    if frequency:
        says = moved.named() if is_named(replacement.transcoder.shape, layer) else ((), ())
        label = label_feature(replacement.tokenizer, found, *says)
    return {
        "label": label,
        "frequency": frequency,
        "histogram": statistics.histogram(row),
        "quantiles": statistics.quantiles(row),
        "examples": tuple(found),
    }


def _with_side_below(
    card: FeatureCard, side: SideMeasured, row: int, below: dict[str, Any]
) -> FeatureCard:
    lowest = -float(side.statistics.extent.maximum[row])
    same = ("label", "frequency", "histogram", "quantiles")
    fields = {f"{name}_below": below[name] for name in same}
    examples = card.examples + below["examples"]
    return replace(card, **fields, min_activation=lowest + 0.0, examples=examples)


@dataclass(frozen=True)
class MovedTokens:
    """Tokens whose logits a feature moves most, strongest first."""

    raised: tuple[int, ...]
    lowered: tuple[int, ...]
    lowers_more: bool
    """True where the strongest effect is that on a token that is lowered, by far."""

    def negative(self) -> "MovedTokens":
        """Return the same for activations below 0."""
        return MovedTokens(self.lowered, self.raised, lowers_more=False)

    def named(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tokens that a label may name: those raised, or those lowered."""
        return ((), self.lowered) if self.lowers_more else (self.raised, ())


@torch.no_grad()
def moved_tokens(
    replacement: ReplacementModel,
    layer: int,
    features: Sequence[int],
    named: Int[Tensor, " n_named"],
) -> Iterator[MovedTokens]:
    """Yield the tokens that each feature raises and lowers most."""
    step = max(1, LOGITS_AT_ONCE // replacement.model.shape.d_vocab)
    n_named = min(N_PROMOTED, len(named))
    for first in range(0, len(features), step):
        numbers = features[first : first + step]
        effects = promoted_logits(replacement, layer, numbers).to(named.device)[:, named]
        top, bottom = (effects.topk(n_named, dim=1, largest=side) for side in (True, False))
        lowers = -bottom.values[:, 0] > LOWERS_MORE * top.values[:, 0]
        sides = (named[side.indices].tolist() for side in (top, bottom))
        for raised, lowered, more in zip(*sides, lowers.tolist(), strict=True):
            yield MovedTokens(tuple(raised), tuple(lowered), more)


@torch.no_grad()
def promoted_logits(
    replacement: ReplacementModel, layer: int, features: Sequence[int] | None = None
) -> Float[Tensor, "n d_vocab"]:
    """Return how decoders of a layer move each logit against the mean, through the final gain.

    All output layers are summed; the final norm's denominator, which no prompt fixes here, is
    taken as 1.

    Args:
        replacement: Model and features.
        layer: The features' layer.
        features: Their numbers; None for all of the layer.
    """
    model, transcoder = replacement.model, replacement.transcoder
    numbers = range(transcoder.shape.n_features) if features is None else features
    written = transcoder.decoder_rows(layer, model.tokens(numbers)[0]).sum(dim=1)
    directions, _ = model.unembedding(model.tokens(range(model.shape.d_vocab))[0])
    logits: Tensor = through_norm(model.final_norm(), written) @ directions.T
    return logits - logits.mean(dim=1, keepdim=True)
