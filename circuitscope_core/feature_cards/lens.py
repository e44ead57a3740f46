"""Cards of a prompt's neurons from what they write: the tokens that each side raises."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.feature_cards.cards import FeatureCard, FeatureCards, empty_card
from circuitscope_core.feature_dictionary import DictionaryShape
from circuitscope_core.language_model import through_norm
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.tokenizer import Tokenizer, show

N_RAISED = 10
"""Tokens on each side of a card."""
N_IN_LABEL = 3
LOWEST_NAMED = 0.5
"""Share of the layers below which neurons are not named by what they raise: later layers make
something else of it."""


@torch.no_grad()
def lens_cards(clean: PromptPass, nodes: Int[Tensor, "n 3"]) -> FeatureCards:
    """Return a card of each neuron with the tokens that it raises most directly.

    A neuron that is active below 0 raises other tokens than above: a card has two sides. No text
    is needed, so that these cards have no examples and no frequencies.

    Args:
        clean: The prompt's clean pass, whose norms lie on the way to the logits.
        nodes: Layer, position and number of each.

    Source: nostalgebraist (2020), "interpreting GPT: the logit lens".
    """
    cards: list[FeatureCard] = []
    nodes = nodes.to(clean.logits.device)  # a graph is a value of the host's
    for layer in nodes[:, 0].unique().tolist():
        named = is_named(clean.replacement.transcoder.shape, layer)
        own = nodes[nodes[:, 0] == layer]
        numbers = own[:, 2].unique()
        raised = raised_logits(clean, layer, numbers)
        n = min(N_RAISED, raised.shape[1])
        sides = (raised.topk(n).indices.tolist(), raised.topk(n, largest=False).indices.tolist())
        cards += [
            two_sided_card(clean.replacement.tokenizer, (layer, number), *tokens, named=named)
            for number, *tokens in zip(numbers.tolist(), *sides, strict=True)
        ]
    return FeatureCards.of(cards, clean.replacement.transcoder.shape.n_features)


def is_named(shape: DictionaryShape, layer: int) -> bool:
    """Tell whether features or neurons of a layer are named by the tokens that they raise.

    They are where few layers lie behind them: what a lower layer writes is read by layers that
    make something else of it.
    """
    return layer >= min(shape.n_layers * LOWEST_NAMED, shape.n_layers - 1)


def raised_logits(
    clean: PromptPass, layer: int, numbers: Int[Tensor, " n"]
) -> Float[Tensor, "n d_vocab"]:
    """Return how much each neuron raises every token that has a text, by its own output alone.

    Against the mean of all tokens, and in units of each token's direction: rare tokens with long
    ones would crowd out all others.
    """
    frozen, model = clean.frozen, clean.replacement.model
    written = clean.replacement.transcoder.decoder_rows(layer, numbers)[:, 0]
    last = torch.full_like(numbers, clean.n_pos - 1)
    added = frozen.through_write_point(layer, written, last)
    tokens = torch.arange(clean.replacement.tokenizer.d_vocab, device=numbers.device)
    directions = model.unembedding(tokens)[0]
    directions = torch.nn.functional.normalize(directions - directions.mean(dim=0), dim=1)
    return through_norm(model.final_norm(), added) @ directions.T


def two_sided_card(
    tokenizer: Tokenizer,
    place: tuple[int, int],
    above: Sequence[int],
    below: Sequence[int],
    *,
    named: bool = True,
) -> FeatureCard:
    """Return a neuron's card.

    Args:
        tokenizer: Turns token ids into text.
        place: Layer and number.
        above: Tokens that it raises where it is active above 0, best first.
        below: Tokens that it raises where it is active below 0.
        named: Whether its label says so.
    """
    card = vars(empty_card(*place))
    return FeatureCard(
        **{
            **card,
            "label": _says(tokenizer, above) if named else "",
            "label_below": _says(tokenizer, below) if named else "",
            "top_tokens": tuple(above),
            "bottom_tokens": tuple(below),
        }
    )


def _says(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    named = (f"“{show(tokenizer.token_text(token))}”" for token in tokens[:N_IN_LABEL])
    return f"→ {', '.join(named)}"
