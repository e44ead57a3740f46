"""Feature cards of models that were added: collected on text and kept beside the entry."""

from collections.abc import Collection, Generator
from contextlib import closing
from pathlib import Path

from circuitscope_core.arguments import checked
from circuitscope_core.bundle import CARDS, CARDS_STATE, is_entry, load_bundle
from circuitscope_core.config import FeatureCardConfig
from circuitscope_core.devices import Device
from circuitscope_core.errors import BundleError
from circuitscope_core.feature_cards import CardProgress, FeatureCards, collect_cards
from circuitscope_core.feature_cards.from_text import Texts
from circuitscope_core.files import place_of, written
from circuitscope_core.model_library.adding import find_model


@checked
def collect_model_cards(  # noqa: PLR0913  # each a name of the public interface
    name: str,
    texts: Texts,
    places: Collection[tuple[int, int]] | None = None,
    *,
    models: str | Path = "models",
    config: FeatureCardConfig = FeatureCardConfig(),  # noqa: B008  # a frozen value
    replace: bool = False,
    device: Device | None = None,
) -> Generator[CardProgress | FeatureCards, None, None]:
    """Collect cards of a model that was added, and save them with it.

    Yields progress, and at last the cards, which are then saved. Stop asking to cancel; the same
    call continues from there.

    Args:
        name: The model's name in the list.
        texts: As for ``collect_cards``.
        places: Layer and number of each feature that gets a card; None for all.
        models: The folder of models.
        config: How much is collected.
        replace: Whether cards that the model has may be replaced.
        device: The device that the model runs on, as for ``load_bundle``.

    Raises:
        BundleError: If there is no such model, it is a trained bundle, it has cards already, or
            they cannot be written.
        ConfigError: If there is no such feature, or the last collection, which was not finished,
            was another one.
        CorpusError: If there is no text, or it cannot be read.
    """
    folder = find_model(name, place_of(models))
    check_cards_wanted(folder, replace=replace)
    checkpoint = folder / CARDS_STATE
    bundle = load_bundle(folder, device=device)
    steps = collect_cards(bundle, texts, places, config=config, checkpoint=checkpoint)
    with closing(steps):
        for event in steps:
            if isinstance(event, FeatureCards):
                save_cards(event, folder)
                checkpoint.unlink(missing_ok=True)
            yield event


def check_cards_wanted(folder: Path, *, replace: bool) -> None:
    """Refuse to collect the cards of a bundle, or to replace cards unasked.

    Raises:
        BundleError: If so.
    """
    if not is_entry(folder):
        raise BundleError(
            f"{folder.name!r} is a trained bundle, whose cards were collected when it was trained. "
            "Collect cards of models that were added."
        )
    if (folder / CARDS).exists() and not replace:
        raise BundleError(
            f"{folder.name!r} has feature cards already: {folder / CARDS}. Ask for new ones in "
            "their place with replace=True, or --replace in the shell."
        )


def save_cards(cards: FeatureCards, folder: Path) -> None:
    """Write the cards of an entry, whole or not at all.

    Raises:
        BundleError: If they cannot be written.
    """
    with written(folder / CARDS, BundleError, "The feature cards") as partial:
        cards.save(partial)
