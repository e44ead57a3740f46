"""Settings that lie beside weights: JSON and YAML, and nothing in them is passed over."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from circuitscope_core.errors import BundleError
from circuitscope_core.files import read_text


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BundleError: If the file holds none.
    """
    try:
        found = json.loads(read_text(path), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    return _object(found, path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        BundleError: If the file holds none.
    """
    try:
        text = read_text(path)
        _refuse_twice(yaml.compose(text, Loader=yaml.SafeLoader))
        found = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    return _object(found, path)


def _each_once(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return pairs as a mapping; the last of two would silently replace the first."""
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} is set twice; set it once")
    return dict(pairs)


def _refuse_twice(document: Any) -> None:
    """Refuse a YAML document in which a mapping has a name twice."""
    waiting, seen = [document], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias, perhaps of what it is in
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _each_once([(name.value, value) for name, value in node.value])
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _object(found: object, path: Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise BundleError(f"{path} holds no settings.")
    return found


def refuse_others(settings: Mapping[str, Any], known: Collection[str], path: Path) -> None:
    """Refuse settings that a layout does not have.

    Raises:
        BundleError: Naming the first of them.
    """
    for name in sorted(set(map(str, settings)) - set(known)):
        raise BundleError(
            f"{path} has a setting {name} = {settings.get(name)!r}, which this layout does not "
            "know. It may change what the transcoder computes, so it is not passed over; remove it "
            "if it does not."
        )


def require(
    settings: Mapping[str, Any], name: str, allowed: Collection[object], path: Path, advice: str
) -> None:
    """Refuse a setting whose value is not one of some; where it is missing, None is its value.

    Raises:
        BundleError: Naming the setting, its value and what to do.
    """
    value = settings.get(name)
    if not any(value is item or value == item for item in allowed):
        raise BundleError(f"{path}: {name} is {value!r}. {advice}")


def count(settings: Mapping[str, Any], name: str, path: Path) -> int:
    """Return a setting that is a whole number above 0.

    Raises:
        BundleError: If it is none.
    """
    value = settings.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BundleError(f"{path}: {name} is {value!r}; it must be a whole number above 0.")
    return value
