"""Checks of types and shapes in every function of the engine, quick enough for every test.

jaxtyping looks at arguments twice, binds each call's signature, and opens a scope for shapes around
functions that have none; that takes longer than many of the functions. Here beartype looks once,
before and after the call, and a scope is opened only where annotations have shapes.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, get_args

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray, install_import_hook

PACKAGE = "circuitscope_core"
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
    checked = beartype(function)
    if not any(may_have_shapes(hint) for hint in inspect.get_annotations(function).values()):

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if jaxtyping.config.jaxtyping_disable:
                return function(*args, **kwargs)
            return checked(*args, **kwargs)

    else:

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if jaxtyping.config.jaxtyping_disable:
                return function(*args, **kwargs)
            with open_scope("context"):
                return checked(*args, **kwargs)

    return call


def may_have_shapes(hint: Any) -> bool:
    """Return whether an annotation names shapes, or is not known before the first call."""
    if isinstance(hint, str):
        return True
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(map(may_have_shapes, get_args(hint)))
