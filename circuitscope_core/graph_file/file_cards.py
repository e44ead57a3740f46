"""Feature cards for a graph that came without them."""

import re
from pathlib import Path

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit
from circuitscope_core.errors import BundleError, GraphFileError
from circuitscope_core.feature_cards import PublishedCards, open_published_cards
from circuitscope_core.feature_cards.published import FOLDER
from circuitscope_core.files import place_of
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file.file_values import GraphFile

SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
LARGEST_DICTIONARY = 2**31


@checked
def open_cards_of_file(file: GraphFile, folder: str | Path) -> PublishedCards:
    """Open the cards of a file's features that lie on this machine, as circuit-tracer has them.

    They may be in the folder, in its ``features/``, or below either in a folder that has the name
    of the file's transcoder (``scan``). Each card is read when it is asked for.

    Args:
        file: The file.
        folder: For example one that ``write_viewer_folder`` wrote.

    Raises:
        BundleError: If there are no such cards; later, if one is damaged.
        ConfigError: If no folder can have that name.
    """
    place = place_of(folder)
    try:
        return _open(place, file.scan.rsplit("/", 1)[-1])
    except (OSError, ValueError) as error:  # a name that is too long, say
        raise BundleError(f"{str(folder)!r:.200} cannot be looked into: {error}") from error


def _open(place: Path, name: str) -> PublishedCards:
    if SAFE_NAME.fullmatch(name):  # a name of a stranger's, which must not lead elsewhere
        for inner in (place / FOLDER / name, place / name):
            if inner.is_dir():
                return open_published_cards(inner, LARGEST_DICTIONARY)
    return open_published_cards(place, LARGEST_DICTIONARY)


def check_features_fit(circuit: Circuit, n_layers: int, n_features: int) -> None:
    """Refuse a dictionary that lacks a feature of a circuit.

    Whether it is the very one that the graph was made with cannot be seen from numbers.

    Raises:
        GraphFileError: If there is no such feature.
    """
    for row in circuit.rows_of(NodeKind.FEATURE).tolist():
        node = circuit.node(row)
        if not (node.layer < n_layers and 0 <= node.feature < n_features):
            raise GraphFileError(
                f"The file has the feature {circuit.ids[row]!r}; this model's transcoder has "
                f"{n_layers} layers of {n_features:,} features. Choose the model that the graph "
                "was made with."
            )


def try_cards(circuit: Circuit, cards: PublishedCards) -> int:
    """Read the cards of a circuit's features, and return how many there are.

    Raises:
        BundleError: If there is none, or one is damaged.
    """
    rows = circuit.rows_of(NodeKind.FEATURE).tolist()
    places = {(circuit.node(row).layer, circuit.node(row).feature) for row in rows}
    n_found = sum(feature >= 0 and cards.has_card(layer, feature) for layer, feature in places)
    if not n_found:
        raise BundleError(
            f"{cards.folder} has cards, but none of the {len(places):,} features of this graph. "
            "Choose the folder of the transcoder that the graph was made with."
        )
    return n_found
