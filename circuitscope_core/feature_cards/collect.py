"""Make the feature cards of a transcoder."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import FeatureCardConfig
from circuitscope_core.errors import ConfigError
from circuitscope_core.feature_cards.cards import FeatureCard, FeatureCards
from circuitscope_core.feature_cards.examples import Candidates, CutOut, Examples, ExampleText
from circuitscope_core.feature_cards.labels import label_feature
from circuitscope_core.feature_cards.passes import Observer, run_passes
from circuitscope_core.feature_cards.statistics import ActivationStatistics, Extent
from circuitscope_core.language_model import through_norm
from circuitscope_core.replacement import ReplacementModel

N_PROMOTED = 10


@dataclass(frozen=True)
class CollectedCards:
    """The cards, and the share of features that fired on none of ``n_tokens`` tokens."""

    cards: FeatureCards
    dead: float
    n_tokens: int


def collect_cards(
    replacement: ReplacementModel,
    token_ids: Int[Tensor, "n n_pos"],
    text: ExampleText | None,
    config: FeatureCardConfig,
    seed: int = 0,
) -> Iterator[CollectedCards | float]:
    """Look at every feature; yields the share done, and at last the cards.

    Args:
        replacement: Model, transcoder and tokenizer.
        token_ids: Windows to measure frequencies on.
        text: Windows to take examples from; None for cards without any text.
        config: How much is collected.
        seed: Decides which weaker examples are drawn.

    Raises:
        ConfigError: If features may be active below 0.
    """
    model, transcoder = replacement.model, replacement.transcoder
    (limit,) = transcoder.thresholds(model.tokens([0, 0, 0])).tolist()
    if limit < 0:
        raise ConfigError(
            "The features may be active below 0, as those of a top-k without a ReLU are. Cards "
            "show how strong a feature is above 0; use features with a ReLU, or leave cards out."
        )
    shape = (transcoder.shape.n_layers, transcoder.shape.n_features)
    extent, candidates = Extent(shape), Candidates(shape, config, seed)
    work: list[tuple[Tensor, Observer]] = [(token_ids, extent)]
    if text is not None:
        work.append((text.token_ids, candidates))
    for share in run_passes(model, transcoder, work):
        yield 0.5 * share
    statistics = ActivationStatistics(extent)
    work = [(token_ids, statistics)]
    if text is not None:
        cut_out = CutOut(text, tuple(candidates.choose(text.token_ids)), config)
        work.append((text.token_ids, cut_out))
    for share in run_passes(model, transcoder, work):
        yield 0.5 + 0.5 * share
    examples = cut_out.examples() if text is not None else {}
    cards = make_cards(replacement, statistics, examples, token_ids.unique())
    yield CollectedCards(
        FeatureCards.of(cards, transcoder.shape.n_features), statistics.dead, extent.n_tokens
    )


def make_cards(
    replacement: ReplacementModel,
    statistics: ActivationStatistics,
    examples: Examples,
    seen: Int[Tensor, " n_seen"],
) -> list[FeatureCard]:
    """Put together what was measured, ordered by layer and feature.

    Only ``seen`` tokens are named as promoted or suppressed: training never fits the logits of
    tokens that no text has, so that they would crowd out all others.
    """
    n_named = min(N_PROMOTED, len(seen))
    cards = []
    for layer in range(replacement.transcoder.shape.n_layers):
        effects = promoted_logits(replacement, layer)[:, seen]
        top = seen[effects.topk(n_named, dim=1).indices].tolist()
        bottom = seen[effects.topk(n_named, dim=1, largest=False).indices].tolist()
        for feature in range(effects.shape[0]):
            found = examples.get((layer, feature), [])
            frequency = statistics.frequency(layer, feature)
            label = label_feature(replacement.tokenizer, found, top[feature]) if frequency else ""
            card = FeatureCard(
                layer=layer,
                feature=feature,
                label=label,
                frequency=frequency,
                max_activation=float(statistics.extent.maximum[layer, feature]),
                histogram=statistics.histogram(layer, feature),
                quantiles=statistics.quantiles(layer, feature),
                top_tokens=tuple(top[feature]),
                bottom_tokens=tuple(bottom[feature]),
                examples=tuple(found),
            )
            cards.append(card)
    return cards


@torch.no_grad()
def promoted_logits(
    replacement: ReplacementModel, layer: int
) -> Float[Tensor, "d_transcoder d_vocab"]:
    """Return how a layer's decoders move each logit against the mean, through the final gain.

    All output layers are summed; the final norm's denominator, which no prompt fixes here, is
    taken as 1.
    """
    model, features = replacement.model, replacement.transcoder
    index = model.tokens(range(max(features.shape.n_features, model.shape.d_vocab)))[0]
    written = features.decoder_rows(layer, index[: features.shape.n_features]).sum(dim=1)
    directions, _ = model.unembedding(index[: model.shape.d_vocab])
    logits: Tensor = through_norm(model.final_norm(), written) @ directions.T
    return logits - logits.mean(dim=1, keepdim=True)
