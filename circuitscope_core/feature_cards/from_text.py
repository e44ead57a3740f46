"""Make feature cards from any text: documents become windows in a file, and two passes read it."""

import hashlib
import json
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from circuitscope_core.arguments import checked
from circuitscope_core.config import CorpusConfig, FeatureCardConfig
from circuitscope_core.corpus import (
    GIVEN,
    Document,
    DocumentSource,
    ReadCounter,
    given_document,
    open_sources,
)
from circuitscope_core.errors import ConfigError
from circuitscope_core.feature_cards.cards import FeatureCards
from circuitscope_core.feature_cards.collect import CardPlan, CollectedCards, measure_cards
from circuitscope_core.feature_cards.selection import Place, Selection
from circuitscope_core.feature_cards.windows import TextWindows, write_windows
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.replacement import Explainable, ReplacementModel, replacement_of
from circuitscope_core.training.checkpoints import CheckpointFile

Texts = str | Path | DocumentSource | Iterable[str | Document]
"""``"builtin"``, a place of Parquet files, a source of documents, or the documents themselves."""
N_POS = 128
"""Tokens of a window, the opening one included."""
STEPS = ("Find the strongest examples", "Count activations and cut out the examples")
WORK = "collection of feature cards"


@dataclass(frozen=True)
class CardProgress:
    """How far a collection of cards is."""

    step: str
    """The words for the work that is being done."""
    share: float
    """Share of the passes over the text that is done, 0 to 1; 0 while the text is read."""
    n_tokens: int
    """Tokens of text that were read."""


@checked
def collect_cards(
    bundle: Explainable,
    texts: Texts,
    places: Collection[Place] | None = None,
    *,
    config: FeatureCardConfig = FeatureCardConfig(),  # noqa: B008  # a frozen value
    n_pos: int = N_POS,
    checkpoint: str | Path | None = None,
) -> Generator[CardProgress | FeatureCards, None, None]:
    """Look at features or neurons on text; yields progress, and at last their cards.

    Stop asking to cancel. Memory does not grow with the text, which is kept as token ids in a
    temporary file, and only the features that are asked for take any.

    Args:
        bundle: Model, features and tokenizer.
        texts: Documents, texts, a source of documents, a place of Parquet files or ``"builtin"``.
            Reading ends at ``config.n_tokens`` tokens.
        places: Layer and number of each feature that gets a card, as ``places_of`` finds them in
            graphs; None for all.
        config: How much is collected.
        n_pos: Tokens of a window; at most as many as the model takes.
        checkpoint: A file that keeps the state of the work. A call with the same arguments
            continues from it and gives the same cards as one that was not disturbed. It stays when
            the cards are done.

    Raises:
        ConfigError: If there is no such feature, or the checkpoint is that of other work.
        CorpusError: If there is no text, or it cannot be read.
        PromptError: If the model has no tokenizer.
        TrainingError: If the checkpoint cannot be read or written.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> *_, cards = cs.collect_cards(bundle, ["a (NDAG) b"] * 9, [(0, 5), (1, 7)])
        >>> len(cards)
        2
    """
    replacement = replacement_of(bundle)
    chosen = Selection.of(replacement.transcoder.shape, places)
    if n_pos < 2:
        raise ConfigError(f"n_pos is {n_pos}; a window has 2 tokens at least.")
    width = min(n_pos, replacement.model.shape.n_ctx)
    found = None
    for item in write_windows(replacement, documents_of(texts, config), config.n_tokens, width):
        if isinstance(item, TextWindows):
            found = item
        else:
            yield CardProgress("Read the text", 0.0, item)
    assert found is not None
    collected = measure_cards(
        replacement,
        found.text.token_ids,
        None if config.excerpts == "none" else found.text,
        config,
        plan=CardPlan(
            chosen,
            named_tokens(replacement, found),
            None if checkpoint is None else CheckpointFile(Path(checkpoint), WORK),
            hash_of_work(replacement, chosen, found, config),
        ),
    )
    with closing(collected):
        for event in collected:
            if isinstance(event, CollectedCards):
                yield event.cards
            else:
                yield CardProgress(STEPS[event > 0.5], event, found.n_tokens)


def documents_of(texts: Texts, config: FeatureCardConfig) -> Iterator[Document]:
    """Return the documents of a source, or of texts.

    Raises:
        CorpusError: If the source cannot be read.
        ConfigError: If its text may not be passed on, and only such text is wanted.
    """
    if isinstance(texts, str | Path | DocumentSource):
        sources = open_sources(texts, CorpusConfig())
        closed = [source.name for source in sources if not source.redistributable]
        _check_excerpts(closed, config)
        return (item for source in sources for item in source.documents(ReadCounter()))
    _check_excerpts([GIVEN], config)
    return map(given_document, texts)


def _check_excerpts(closed: list[str], config: FeatureCardConfig) -> None:
    if closed and config.excerpts == "open":
        raise ConfigError(
            f"excerpts is 'open', and nothing says that the text of {closed[0]} may be passed on. "
            "Use 'all' for cards of your own, or 'none' for cards without text."
        )


def named_tokens(replacement: ReplacementModel, found: TextWindows) -> torch.Tensor:
    """Return the tokens that a card may name as promoted: all that training can have fitted.

    A model that was trained here has learned only the tokens of the text; a pretrained model
    may have learned its whole vocabulary.
    """
    if isinstance(replacement.model, PretrainedModel):
        return torch.arange(replacement.tokenizer.d_vocab, device="cpu")
    return found.seen


@torch.no_grad()
def hash_of_work(
    replacement: ReplacementModel,
    places: Selection,
    found: TextWindows,
    config: FeatureCardConfig,
) -> str:
    """Return a hash of everything that decides the cards: model, features, text and settings."""
    model, features = replacement.model, replacement.transcoder
    settings = {
        "model": vars(model.shape),
        "features": features.describe(),
        "places": [numbers.tolist() for numbers in places.features],
        "text": found.digest,
        "config": config.to_json(),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    (first,) = model.tokens([0])
    for weights in (model.unembedding(first)[0], features.decoder_rows(0, first)):
        digest.update(weights.float().cpu().numpy().tobytes())
    return digest.hexdigest()
