"""The base of all settings: they check themselves, and go to JSON and back."""

import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from circuitscope_core.arguments import CheckedFields
from circuitscope_core.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound="JsonConfig")


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        ConfigError: If the condition does not hold.
    """
    if not condition:
        raise ConfigError(message)


def require_positive(config: object, *names: str) -> None:
    """Refuse fields that are not above 0."""
    for name in names:
        value = getattr(config, name)
        require(value > 0, f"{name} is {value}; it must be above 0.")


def require_fraction(config: object, *names: str) -> None:
    """Refuse fields that are not from 0 to 1."""
    for name in names:
        value = getattr(config, name)
        require(0 <= value <= 1, f"{name} is {value}; it must be from 0 to 1.")


def require_one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not one of those allowed."""
    choices = ", ".join(repr(item) for item in allowed)
    require(value in allowed, f"{name} is {value!r}; it must be one of {choices}.")


def require_type(name: str, value: object, hint: Any) -> None:
    """Refuse JSON of the wrong type before it is compared with a number."""
    allowed = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}.get(hint)
    if allowed is None:
        if isinstance(hint, type) and is_dataclass(hint):
            require(isinstance(value, hint), f"{name} is {value!r}; it must be an object.")
        return  # literals check themselves
    right = isinstance(value, allowed) and (hint is bool or not isinstance(value, bool))
    require(right, f"{name} is {value!r}; it must be of type {hint.__name__}.")
    if hint is float and isinstance(value, int | float):
        most = sys.float_info.max
        require(not abs(value) > most, f"{name} is {value!r}; it must be from {-most} to {most}.")


class JsonConfig(CheckedFields):
    """``to_json`` and ``from_json`` for the frozen dataclasses below."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data that ``from_json`` turns back into an equal config."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]  # only dataclasses inherit

    @classmethod
    def from_json(cls: type[ConfigT], data: Any) -> ConfigT:
        """Build the config from plain data.

        Raises:
            ConfigError: If a field is unknown or missing, or a value is outside its range.
        """
        require(isinstance(data, Mapping), f"{cls.__name__} is {data!r:.60}; it must be an object.")
        known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
        if unknown := [name for name in data if name not in known]:
            raise ConfigError(f"{cls.__name__} has no field {unknown[0]!r}; remove it.")
        hints = get_type_hints(cls)
        values = {}
        for name, item in known.items():
            if name not in data:
                if item.default is MISSING and item.default_factory is MISSING:
                    raise ConfigError(f"{cls.__name__} lacks the field {name!r}; add it.")
                continue
            hint = hints[name]
            nested = is_dataclass(hint) and isinstance(data[name], Mapping)
            values[name] = hint.from_json(data[name]) if nested else data[name]
            require_type(f"{cls.__name__}.{name}", values[name], hint)
            if hint is float:  # JSON may write 2.0 as 2
                values[name] = float(values[name])
        return cls(**values)
