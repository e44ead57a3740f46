"""A graph with its feature cards as a folder that circuit-tracer's own viewer opens.

circuit-tracer's server hands out one folder: ``graph-metadata.json`` lists the graphs,
``<slug>.json`` is one of them, and everything else is found below ``./data/``. A graph's ``scan``
says where its features' cards are. Only one that begins with ``./`` is a place on the same server;
of any other, and of ``./features/``, the viewer asks an outside host.

Source: circuit-tracer 0.5.0, ``frontend/local_server.py`` and
``frontend/assets/feature_examples/init-feature-examples.js``.
"""

import io
import json
import zipfile
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from circuitscope_core.arguments import checked
from circuitscope_core.circuit import Circuit, Kept, circuit_of
from circuitscope_core.errors import ConfigError, GraphFileError
from circuitscope_core.export.files import slugify
from circuitscope_core.export.graph_json import (
    FEATURE_TYPES,
    NEURON_TYPE,
    SCAN,
    cantor_pair,
    feature_card_json,
    graph_to_json,
)
from circuitscope_core.export.opening import Opening
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.feature_cards.cards import empty_card
from circuitscope_core.files import write_whole
from circuitscope_core.graph import NodeKind
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.tokenizer import ByteTokenizer, Tokenizer

METADATA = "graph-metadata.json"
FEATURES = "features"
AT_SERVER = f"./data/{FEATURES}/"
"""Where the viewer finds the folder's ``features`` on the server that it came from."""
LARGEST_METADATA = 64 << 20
FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The date of all files in an archive: equal graphs make equal archives."""


@dataclass(frozen=True)
class ViewerGraph:
    """A graph for the viewer under one name, and the cards of its features."""

    data: Mapping[str, Any]
    """The graph's JSON."""
    cards: Mapping[int, Mapping[str, Any]]
    """The JSON of each feature's card, by the number that the viewer asks for."""

    @property
    def slug(self) -> str:
        """The graph's name in the viewer, and of its file."""
        return str(self.data["metadata"]["slug"])

    @property
    def scan(self) -> str:
        """The name of the folder of its cards."""
        return str(self.data["metadata"]["scan"]).removeprefix(AT_SERVER)

    @cached_property
    def address(self) -> str:
        """The end of the address at which the viewer opens the graph with its supernodes and pins.

        The viewer reads supernodes from its address alone, and its Save button writes what the
        address holds. It decodes the address twice.
        """
        start = self.data["qParams"]
        parts = {
            "slug": self.slug,
            "pinnedIds": ",".join(start["pinnedIds"]),
            "supernodes": json.dumps(start["supernodes"], ensure_ascii=False),
            "clickedId": start["clickedId"],
        }
        return "?" + "&".join(f"{key}={quote(quote(text, ''), '')}" for key, text in parts.items())

    def named(self, slug: str, scan: str) -> "ViewerGraph":
        """Return the same graph and cards under other names."""
        metadata = {**self.data["metadata"], "slug": slug, "scan": AT_SERVER + scan}
        cards = {number: {**card, "transcoder_id": scan} for number, card in self.cards.items()}
        return replace(self, data={**self.data, "metadata": metadata}, cards=cards)

    def card_files(self) -> dict[str, str]:
        """Return the text of each card's file by its path in the folder."""
        return {
            f"{FEATURES}/{self.scan}/{number}.json": json.dumps(card)
            for number, card in self.cards.items()
        }

    def files(self) -> dict[str, str]:
        """Return the text of every file but the list of graphs, by its path in the folder."""
        return {**self.card_files(), f"{self.slug}.json": json.dumps(self.data)}


def viewer_graph(
    kept: Kept,
    *,
    cards: FeatureCards | None = None,
    tokenizer: Tokenizer | None = None,
    supernodes: Supernodes | None = None,
    opening: Opening | None = None,
) -> ViewerGraph:
    """Return a circuit and the cards of its features as circuit-tracer's viewer reads them.

    The arguments are those of ``write_viewer_folder``.
    """
    circuit = circuit_of(kept, cards)
    data = graph_to_json(circuit, supernodes=supernodes, opening=opening)
    for node in data["nodes"]:
        if node["feature_type"] == NEURON_TYPE:  # the viewer shows cards of this type alone
            node["feature_type"] = FEATURE_TYPES[NodeKind.FEATURE]
    slug = slugify(circuit.prompt)
    slug = f"{slug}-1" if f"{slug}.json".casefold() == METADATA else slug
    graph = ViewerGraph(data, _cards_of(circuit, cards, tokenizer))
    return graph.named(slug, SCAN if cards else slug)


def _cards_of(
    circuit: Circuit, cards: FeatureCards | None, tokenizer: Tokenizer | None
) -> dict[int, dict[str, Any]]:
    """Return a card for each feature, an empty one where nothing is known of it."""
    if cards is not None and tokenizer is None:
        raise ConfigError(
            "Feature cards are written as text, so they need the tokenizer; give tokenizer= too."
        )
    found = {}
    for row in circuit.rows_of(NodeKind.FEATURE).tolist():
        node = circuit.node(row)
        if node.feature < 0:
            continue  # a file's node that is no feature of a dictionary
        place = (node.layer, node.feature)
        card = cards.card(*place) if cards else empty_card(*place)
        data = feature_card_json(card, tokenizer or ByteTokenizer())
        # the viewer's drawing needs a bar
        found[cantor_pair(*place)] = {**data, "histogram": data["histogram"] or [0]}
    return found


@checked
def write_viewer_folder(
    folder: str | Path,
    kept: Kept,
    *,
    cards: FeatureCards | None = None,
    tokenizer: Tokenizer | None = None,
    supernodes: Supernodes | None = None,
    opening: Opening | None = None,
) -> ViewerGraph:
    """Write a circuit into a folder for circuit-tracer's viewer, beside the graphs there.

    Nothing is overwritten: a graph whose name is taken gets another one, and so does its folder of
    cards where the one there has another card of the same feature. The list of graphs is written
    last, so that the viewer never sees half a graph. One process at a time may add to a folder.

    Args:
        folder: The folder; made where it is not there.
        kept: The circuit, or the pruned graph or trace that has it.
        cards: Examples, statistics and labels of its features; without them a click shows none.
        tokenizer: Turns the cards' token ids into text.
        supernodes: Groups to open the graph with.
        opening: Selection and pins to open it with.

    Returns:
        The graph under the name that it got; its ``address`` opens it.

    Raises:
        ConfigError: If there are cards and no tokenizer.
        GraphFileError: If the folder cannot be written, or its list of graphs cannot be read.

    Example:
        >>> import tempfile
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> found = cs.trace(bundle, "The National Digital Group (N")
        >>> parts = {"cards": found.cards, "tokenizer": bundle.tokenizer}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     graph = cs.write_viewer_folder(folder, found, supernodes=found.supernodes, **parts)
        >>> graph.slug
        'The-National-Digital-Group-N'
    """
    graph = viewer_graph(
        kept, cards=cards, tokenizer=tokenizer, supernodes=supernodes, opening=opening
    )
    place = Path(folder)
    try:
        return _add(place, graph)
    except OSError as error:
        raise GraphFileError(
            f"The folder {place} for circuit-tracer’s viewer cannot be written: "
            f"{error.strerror or error}. Give another folder."
        ) from error


def _add(folder: Path, graph: ViewerGraph) -> ViewerGraph:
    folder.mkdir(parents=True, exist_ok=True)
    listed = _listed(folder / METADATA)
    taken = {METADATA.removesuffix(".json")}
    taken |= {str(entry.get("slug")).casefold() for entry in listed}
    taken |= {path.stem.casefold() for path in folder.glob("*.json")}
    slug = free_name(graph.slug, taken)
    scan = graph.scan if graph.scan != graph.slug else slug
    others = {n.casefold() for n in _scans(folder) if _differs(folder, graph.named(slug, n))}
    graph = graph.named(slug, free_name(scan, others))
    for name, text in graph.files().items():
        if not (folder / name).exists():
            write_whole(folder / name, text)
    write_whole(folder / METADATA, _list_of([*listed, graph.data["metadata"]]))
    return graph


def _scans(folder: Path) -> list[str]:
    """Return the names of the folders of cards."""
    place = folder / FEATURES
    return [path.name for path in place.iterdir()] if place.is_dir() else []


def _differs(folder: Path, graph: ViewerGraph) -> bool:
    """Tell whether the folder has another card of one of a graph's features."""
    place = folder / FEATURES / graph.scan
    if not place.is_dir():
        return True  # a file, where a folder is to be
    return any(
        (folder / name).exists() and (folder / name).read_bytes() != text.encode()
        for name, text in graph.card_files().items()
    )


def free_name(name: str, taken: Container[str]) -> str:
    """Return the name, or with the first number from 2 that makes it one that is free."""
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _listed(path: Path) -> list[Mapping[str, Any]]:
    """Return the entries of a list of graphs; none where there is no list."""
    if not path.exists():
        return []
    if path.stat().st_size > LARGEST_METADATA:
        raise GraphFileError(f"{path} has more than {LARGEST_METADATA >> 20} MB. {ANOTHER}")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise GraphFileError(f"{path} holds no JSON: {error}. {ANOTHER}") from error
    graphs = data.get("graphs") if isinstance(data, dict) else None
    if not isinstance(graphs, list) or not all(isinstance(entry, dict) for entry in graphs):
        raise GraphFileError(f"{path} holds no list of graphs. {ANOTHER}")
    return graphs


ANOTHER = "Give another folder, or repair the file."


def _list_of(entries: list[Mapping[str, Any]]) -> str:
    return json.dumps({"graphs": entries}, indent=2)


def viewer_zip(
    kept: Kept,
    *,
    cards: FeatureCards | None = None,
    tokenizer: Tokenizer | None = None,
    supernodes: Supernodes | None = None,
    opening: Opening | None = None,
) -> bytes:
    """Return the folder that ``write_viewer_folder`` writes as a zip archive.

    Equal arguments give equal bytes. The arguments are those of ``write_viewer_folder``; unpacked,
    the archive is such a folder with one graph.

    Raises:
        ConfigError: If there are cards and no tokenizer.
    """
    graph = viewer_graph(
        kept, cards=cards, tokenizer=tokenizer, supernodes=supernodes, opening=opening
    )
    files = {**graph.files(), METADATA: _list_of([graph.data["metadata"]])}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, FIRST_DAY), text, zipfile.ZIP_DEFLATED)
    return whole.getvalue()
