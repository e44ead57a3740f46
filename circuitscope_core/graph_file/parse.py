"""Graph JSON of version 1, as circuit-tracer, Neuronpedia and we write it: checked and read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from circuitscope_core.arguments import checked
from circuitscope_core.errors import GraphFileError
from circuitscope_core.export.graph_json import SCHEMA_VERSION
from circuitscope_core.files import place_of
from circuitscope_core.graph_file.file_links import read_links
from circuitscope_core.graph_file.file_nodes import clean, raise_outputs, read_nodes
from circuitscope_core.graph_file.file_values import FileNode, GraphFile
from circuitscope_core.graph_file.problems import MISSING, Problems, shown
from circuitscope_core.graph_file.shared_ids import split_shared_ids
from circuitscope_core.graph_file.start_view import StartView, read_start_view

MAX_BYTES = 200 * 1024**2
"""The size of a file that the app takes in one upload."""
MAX_NODES, MAX_LINKS, MAX_TOKENS = 100_000, 1_000_000, 4_096
"""Limits on untrusted input: they bound the memory and time that a file can take."""

Kind = TypeVar("Kind", bound="dict[str, Any] | list[Any]")


@checked
def read_graph_file(path: str | Path) -> GraphFile:
    """Read and check a graph file.

    Raises:
        GraphFileError: If it cannot be read, or is refused; see ``parse_graph_json``.
    """
    path = place_of(path)
    try:
        _refuse_large(path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise GraphFileError(
            f"The graph file {path} cannot be read: {error.strerror or error}. Check its name."
        ) from error
    return parse_graph_json(data)


@checked
def parse_graph_json(text: str | bytes) -> GraphFile:
    """Check a graph's JSON and return what it holds.

    Schema version 1 is read; a file without a version is one of circuit-tracer's first, which
    holds the same. Exactly the four types of nodes of that version are known. Others, such as
    Neuronpedia's attention features, count their layers in another way and are refused rather than
    drawn in the wrong row. Pins, supernodes and labels that a person made in circuit-tracer's
    viewer or Neuronpedia (``qParams``) are read as well.

    Raises:
        GraphFileError: If anything is wrong: the first ten reasons, and a count of the rest.
    """
    data, n_renamed = load_graph_json(text)
    _refuse_other_versions(data)
    problems = Problems()
    metadata: dict[str, Any] = _part(problems, data, "metadata", {})
    node_items: list[Any] = _part(problems, data, "nodes", [])
    link_items: list[Any] = _part(problems, data, "links", [])
    tokens = _read_tokens(problems, data.get("metadata"))
    for name, items, most in (("nodes", node_items, MAX_NODES), ("links", link_items, MAX_LINKS)):
        if len(items) > most:
            problems.add(
                f"There are {len(items):,} {name}; at most {most:,} can be drawn. Prune the graph "
                "more strongly and export it again.",
                f"many {name}",
            )
    problems.raise_if_any()
    found = read_nodes(problems, node_items, len(tokens))
    links = read_links(problems, link_items, found)
    start = read_start_view(problems, data.get("qParams"), node_items, found)
    problems.raise_if_any()
    nodes = _labelled(raise_outputs(node for node in found.values() if node is not None), start)
    prompt, scan = metadata.get("prompt"), metadata.get("scan")
    return GraphFile(
        prompt=clean(prompt) if isinstance(prompt, str) else "".join(tokens),
        token_texts=tokens,
        n_layers=max(node.node.layer for node in nodes),
        generator=_read_generator(metadata),
        nodes=nodes,
        links=links,
        groups=start.groups,
        pinned=start.pinned,
        n_renamed=n_renamed,
        scan=scan if isinstance(scan, str) else "",
        selected=start.selected,
    )


def _labelled(nodes: tuple[FileNode, ...], start: StartView) -> tuple[FileNode, ...]:
    """Return nodes with the labels that a person gave them in a viewer."""
    if not start.labels:
        return nodes
    given = start.labels
    return tuple(replace(node, label=given.get(node.id, node.label)) for node in nodes)


def _refuse_large(n_bytes: int) -> None:
    if n_bytes > MAX_BYTES:
        raise GraphFileError(
            f"The graph file has {n_bytes / 1024**2:,.0f} MB; at most {MAX_BYTES // 1024**2} MB "
            "can be opened. Prune the graph more strongly and export it again."
        )


def load_graph_json(text: str | bytes) -> tuple[dict[str, Any], int]:
    """Return the object that a graph's file holds, and how many errors got an id of their own.

    circuit-tracer could give one id to two nodes; see ``split_shared_ids``.

    Raises:
        GraphFileError: If it is too large, or holds no JSON object.
    """
    return split_shared_ids(load_json(text))


def load_json(text: str | bytes) -> dict[str, Any]:
    """Return the object that a file holds.

    Raises:
        GraphFileError: If it is too large, or holds no JSON object.
    """
    _refuse_large(len(text))
    try:
        read = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        data = json.loads(read)
    except UnicodeDecodeError as error:
        raise GraphFileError(
            f"The graph file is no UTF-8 text: byte {error.start:,} is "
            f"0x{error.object[error.start]:02x}. Save it as UTF-8, and uncompressed."
        ) from error
    except json.JSONDecodeError as error:
        raise GraphFileError(
            f"The graph file is no JSON: {error.msg} in line {error.lineno:,}, column "
            f"{error.colno:,}. Is it whole? Export it again."
        ) from error
    except RecursionError as error:
        raise GraphFileError(
            "The graph file nests lists or objects too deeply to be read; a graph needs five "
            "levels. Export it again."
        ) from error
    except ValueError as error:  # Python reads no number of more than some thousand digits
        raise GraphFileError(
            f"The graph file has a number that cannot be read: {error}. Export it again."
        ) from error
    if not isinstance(data, dict):
        raise GraphFileError(
            f"The graph file holds {shown(data)}; it must hold an object with metadata, nodes and "
            "links. Choose a graph's JSON file."
        )
    return data


def _refuse_other_versions(data: dict[str, Any]) -> None:
    """Refuse what another version says first: nothing else in it can be judged."""
    metadata = data.get("metadata")
    version = metadata.get("schema_version") if isinstance(metadata, dict) else None
    if version is not None and (isinstance(version, bool) or version != SCHEMA_VERSION):
        raise GraphFileError(
            f"The graph file has the schema version {shown(version)}; only version "
            f"{SCHEMA_VERSION} can be opened. Export it again in that version."
        )


def _part(problems: Problems, data: dict[str, Any], name: str, empty: Kind) -> Kind:
    """Return a part of the file; the empty one, and a note, where it is missing or another kind."""
    part = data.get(name, MISSING)
    if not isinstance(part, type(empty)):
        rule = "a list" if isinstance(empty, list) else "an object"
        problems.must("The file", name, part, rule)
        return empty
    return part


def _read_tokens(problems: Problems, metadata: Any) -> tuple[str, ...]:
    if not isinstance(metadata, dict):
        return ()  # said already
    value = metadata.get("prompt_tokens", MISSING)
    if not isinstance(value, list) or not value or not all(isinstance(t, str) for t in value):
        problems.must("metadata", "prompt_tokens", value, "a list of the prompt's tokens as texts")
        return ()
    if len(value) > MAX_TOKENS:
        problems.add(
            f"metadata: prompt_tokens has {len(value):,} tokens; at most {MAX_TOKENS:,} can be "
            "drawn. Explain a shorter prompt.",
            "many tokens",
        )
    return tuple(clean(token) for token in value)


def _read_generator(metadata: dict[str, Any]) -> str:
    info = metadata.get("info")
    generator = info.get("generator") if isinstance(info, dict) else None
    if not isinstance(generator, dict):
        return ""
    parts = (generator.get("name"), generator.get("version"))
    return " ".join(clean(part) for part in parts if isinstance(part, str) and part)
