"""Checks of types and shapes in every function of the engine, quick enough for every test.

The hook of jaxtyping looks at arguments twice, binds each call's signature, and opens a scope for
shapes around functions that have none; that takes longer than many of the functions. Here beartype
looks once, before and after the call, and a scope is opened only where annotations have shapes.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook

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

    return call


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
