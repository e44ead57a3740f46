"""Feature cards as text."""

from dataclasses import dataclass

from circuitscope_core.feature_cards import Example, FeatureCard, FeatureCards
from circuitscope_core.global_weights import GlobalWeights
from circuitscope_core.tokenizer import Tokenizer, show
from circuitscope_core.view.graph_view import CardView, ExampleView, PartnerView
from circuitscope_core.view.text import readable_tokens

N_PARTNERS = 5
"""Features named as acting on another, and as acted on."""
N_TOKENS_SHOWN = 8
"""Promoted and suppressed tokens on a card."""


def card_key(layer: int, feature: int) -> str:
    """Return the name of a card within a drawing."""
    return f"{layer}/{feature}"


def card_view(
    card: FeatureCard,
    tokenizer: Tokenizer,
    n_of_kind: dict[str, int],
    partners: "Partners | None" = None,
) -> CardView:
    """Return a card as text.

    Args:
        card: The card.
        tokenizer: Turns its token ids into text.
        n_of_kind: How many examples to take of each kind, on each side of a neuron.
        partners: Names the features that it works with over the corpus.
    """
    left = {(kind, below): n for kind, n in n_of_kind.items() for below in (False, True)}
    examples = []
    for example in card.examples:
        side = (example.kind, example.below)
        if left.get(side, 0) > 0:
            left[side] -= 1
            examples.append(example_view(example, tokenizer))
    return CardView(
        title=f"layer {card.layer}, feature {card.feature}",
        label=card.label,
        by_hand=card.by_hand,
        frequency=card.frequency,
        max_activation=card.max_activation,
        histogram=card.histogram,
        promoted=_texts(card.top_tokens, card.top_texts, tokenizer),
        suppressed=_texts(card.bottom_tokens, card.bottom_texts, tokenizer),
        examples=tuple(examples),
        inputs=partners.inputs(card) if partners else (),
        outputs=partners.outputs(card) if partners else (),
        label_below=card.label_below,
        frequency_below=card.frequency_below,
        min_activation=card.min_activation,
        histogram_below=card.histogram_below,
    )


@dataclass(frozen=True)
class Partners:
    """Global weights with the features' names."""

    weights: GlobalWeights
    cards: FeatureCards

    def inputs(self, card: FeatureCard) -> tuple[PartnerView, ...]:
        """Return what acts on a feature most strongly."""
        found = self.weights.inputs(card.layer, card.feature)[:N_PARTNERS]
        return tuple(self._view(weight.source, weight.twera) for weight in found)

    def outputs(self, card: FeatureCard) -> tuple[PartnerView, ...]:
        """Return what a feature acts on most strongly."""
        found = self.weights.outputs(card.layer, card.feature)[:N_PARTNERS]
        return tuple(self._view(weight.target, weight.twera) for weight in found)

    def _view(self, feature: tuple[int, int], twera: float) -> PartnerView:
        label = self.cards.label(*feature) or f"feature {feature[1]}"
        return PartnerView(card_key(*feature), feature[0], label, twera)


def example_view(example: Example, tokenizer: Tokenizer) -> ExampleView:
    """Return an example as visible text with the activation of each token that has one."""
    texts, values, peak = example.texts, example.activations, example.peak
    if not texts:
        texts, values, peak = readable_tokens(tokenizer, example.token_ids, values, peak)
    tokens = tuple(text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍") for text in texts)
    heat = tuple((place, value) for place, value in enumerate(values) if value != 0)
    return ExampleView(example.kind, example.source, tokens, heat, peak, example.below)


def _texts(
    token_ids: tuple[int, ...], texts: tuple[str, ...], tokenizer: Tokenizer
) -> tuple[str, ...]:
    """Return tokens as visible text: by their ids, or by their texts where these have none."""
    known = texts or tuple(map(tokenizer.token_text, token_ids))
    return tuple(map(show, known[:N_TOKENS_SHOWN]))
