"""Checks of types and shapes in every function of the engine, quick enough for every test.

The hook of jaxtyping looks at arguments twice, binds each call's signature, and opens a scope for
shapes around functions that have none; that takes longer than many of the functions. Here beartype
looks once, before and after the call, and a scope is opened only where annotations have shapes.
Shapes, dtypes and classes that were right together once are right again.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial, wraps
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import jaxtyping
import torch
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook
from typing_extensions import is_protocol

PACKAGE = "circuitscope_core"
REFUSE = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
"""The decorator that checks; its error is a TypeError, as Python's own is for arguments."""
open_scope = jaxtyping.jaxtyped
"""The decorator of jaxtyping; as a context, the scope in which one name means one size."""


def install() -> None:
    """Check every function of the engine that is imported from now on."""
    jaxtyping.jaxtyped = decorate  # the name that the import hook puts before each function
    install_import_hook(PACKAGE, "beartype.beartype")


def decorate(thing: Any = None, *, typechecker: Any = None) -> Any:
    """Return a function that checks each call; a dataclass checks the making of its values."""
    if thing is None:
        return partial(decorate, typechecker=typechecker)
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) and "__init__" in vars(thing):
            thing.__init__ = check(thing.__init__)
        return thing
    return check(thing)


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that checks its arguments and its result."""
    kept: list[Callable[..., Any]] = []

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        if not kept:  # names of annotations are known when their modules are loaded
            kept.append(checked(function))
        return kept[0](*args, **kwargs)

    return call


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with beartype's checks, in a scope of its own where it has shapes."""
    hints = inspect.get_annotations(function).items()
    known = {name: resolved(hint, function.__globals__) for name, hint in hints}
    function.__annotations__ = known
    typed = REFUSE(function)
    if not any(map(may_have_shapes, known.values())):
        return typed

    def call(*args: Any, **kwargs: Any) -> Any:
        with open_scope("context"):
            return typed(*args, **kwargs)

    return once_a_kind(function, call) if all(map(is_decided_by_kind, known.values())) else call


def once_a_kind(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that checks a call unless one of the same kinds was right before."""
    right: dict[object, set[object]] = {}
    returned: list[Any] = []

    @wraps(function)
    def give_back(*_: Any, **__: Any) -> Any:
        return returned[-1]

    typed_again = REFUSE(give_back)

    def quick(*args: Any, **kwargs: Any) -> Any:
        key = tuple(map(kind_of, args)), *((name, kind_of(kwargs[name])) for name in kwargs)
        known = right.get(key)
        if known is None:
            result = call(*args, **kwargs)
            right[key] = {kind_of(result)}
            return result
        result = function(*args, **kwargs)
        kind = kind_of(result)
        if kind not in known:
            returned.append(result)
            with open_scope("context"):
                typed_again(*args, **kwargs)
            returned.clear()
            known.add(kind)
        return result

    return quick


def kind_of(value: Any) -> object:
    """Return all of a value that an annotation for which ``is_decided_by_kind`` holds looks at."""
    if isinstance(value, torch.Tensor):
        return type(value), value.dtype, value.shape
    if type(value) is tuple:
        return tuple(map(kind_of, value))
    return type(value)


def is_decided_by_kind(hint: Any) -> bool:
    """Return whether all values of one class, or arrays of one shape and dtype, fit or do not."""
    if inspect.isclass(hint) and get_origin(hint) is None:
        return not is_protocol(hint)
    if get_origin(hint) is tuple:
        return Ellipsis not in get_args(hint) and all(map(is_decided_by_kind, get_args(hint)))
    if get_origin(hint) in (Union, UnionType):
        return all(map(is_decided_by_kind, get_args(hint)))
    return hint is Any or hint is None


def resolved(hint: Any, names: dict[str, Any]) -> Any:
    """Return an annotation without quotes; Any where its names are for type checkers alone."""

    holder = type("Holder", (), {"__annotations__": {"hint": hint}})
    try:
        return get_type_hints(holder, names, include_extras=True)["hint"]
    except NameError:
        return Any


def may_have_shapes(hint: Any) -> bool:
    """Return whether an annotation names shapes."""
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(map(may_have_shapes, get_args(hint)))
