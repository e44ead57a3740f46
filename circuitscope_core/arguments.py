"""Arguments of public functions, checked against their annotations when they are called.

A wrong word, a number of the wrong kind or a value of another type is refused by name, with the
value and with what is allowed, before anything is computed.
"""

import inspect
import math
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from typing import (
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from circuitscope_core.errors import ConfigError

Args = ParamSpec("Args")
Result = TypeVar("Result")
LONGEST_VALUE = 60
"""Characters of a value that a message quotes."""
NAMES: Mapping[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "True or False",
    type(None): "None",
    Path: "a path",
}
PROTOCOLS = {
    "HasReplacement": "a bundle (cs.load_bundle)",
    "HasCards": "a bundle (cs.load_bundle)",
    "HasCircuit": "a Trace",
    "HasDecoders": "a transcoder",
}
"""Protocols, by the values that have them."""


def checked(function: Callable[Args, Result]) -> Callable[Args, Result]:
    """Refuse arguments that do not fit the function's annotations.

    Annotations that cannot be checked in an instant, such as tensors' shapes, are passed over.

    Raises:
        ConfigError: By the function that is returned, naming the argument, its value and what it
            must be.

    Example:
        >>> @checked
        ... def scale(value: float, mode: Literal["up", "down"] = "up") -> float:
        ...     return value
        >>> scale(1, mode="Up")
        Traceback (most recent call last):
        circuitscope_core.errors.ConfigError: mode is 'Up'; it must be one of 'up', 'down'.
    """
    signature = inspect.signature(function)

    @cache
    def hints() -> dict[str, Any]:
        return get_type_hints(function)

    @wraps(function)
    def call(*args: Args.args, **kwargs: Args.kwargs) -> Result:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ConfigError(
                f"{function.__name__}{_order(signature)} was called otherwise: {error}."
            ) from error
        for name, value in given.items():
            kind = signature.parameters[name].kind
            if kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                require_kind(name, value, hints().get(name, Any))
        return function(*args, **kwargs)

    return call


def _order(signature: inspect.Signature) -> str:
    """Return the names of a function's arguments in their order."""
    return f"({', '.join(signature.parameters)})"


class CheckedFields:
    """A dataclass whose fields are checked like the arguments of a function."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Check what is given, then make the value.

        Raises:
            ConfigError: Naming the first field that does not fit.
        """
        hints = get_type_hints(cls)
        names = list(getattr(cls, "__dataclass_fields__", ()))
        for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
            if name in hints:
                require_kind(name, value, hints[name])
        return super().__new__(cls)


def require_kind(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that is not of a kind.

    Raises:
        ConfigError: Saying what it must be.
    """
    if fits(value, hint):
        return
    text = repr(value)
    text = text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
    raise ConfigError(f"{name} is {text}; it must be {describe(hint)}.")


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a kind, as far as that can be told at once."""
    origin = get_origin(hint)
    if hint in NUMBERS:
        return NUMBERS[hint](value)
    if origin is Literal:
        return any(value == item and type(value) is type(item) for item in get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in get_args(hint))
    if isinstance(origin, type) and issubclass(origin, Collection):
        return _fits_collection(value, origin, get_args(hint))
    if hint is None or not isinstance(hint, type) or not _is_checkable(hint):
        return True
    return isinstance(value, hint)


def _fits_collection(value: Any, origin: type, parts: tuple[Any, ...]) -> bool:
    """Return whether a value is a collection whose members fit; a text is none."""
    if isinstance(value, str | bytes) or not isinstance(value, origin):
        # tensors and arrays are taken for sequences of numbers, texts being none
        if isinstance(value, str | bytes) or origin is not Sequence:
            return False
        return hasattr(value, "tolist") and getattr(value, "ndim", 1) > 0
    one_kind = len(parts) == 1 or (len(parts) == 2 and parts[1] is ...)
    return not one_kind or all(fits(member, parts[0]) for member in cast(Collection[Any], value))


def _is_checkable(kind: type) -> bool:
    """Return whether ``isinstance`` tells what it should: not of shapes, nor of some protocols."""
    if "jaxtyping" in type(kind).__module__ or "jaxtyping" in kind.__module__:
        return False
    return not getattr(kind, "_is_protocol", False) or getattr(kind, "_is_runtime_protocol", False)


NUMBERS: Mapping[Any, Callable[[Any], bool]] = {
    int: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    float: lambda value: (
        isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    ),
    bool: lambda value: isinstance(value, bool),
    type(None): lambda value: value is None,
    Any: lambda _: True,
}


def _several(hint: Any) -> str:
    """Return a kind in words, in the plural where there is one word for it."""
    if hint is int:
        return "whole numbers"
    return f"{NAMES[hint].removeprefix('a ')}s" if hint in (str, Path) else describe(hint)


def describe(hint: Any) -> str:
    """Return a kind in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(describe, parts)))
    if isinstance(origin, type) and issubclass(origin, Collection):
        return f"a sequence of {_several(parts[0])}" if parts else "a sequence"
    if hint in NAMES:
        return NAMES[hint]
    if not isinstance(hint, type):
        return str(hint)
    article = "an" if hint.__name__[0] in "AEIOU" else "a"
    return PROTOCOLS.get(hint.__name__, f"{article} {hint.__name__}")
