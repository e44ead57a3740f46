"""Values that took long to compute, kept for their next use: bounded in bytes.

A kept value belongs to those who used it. When the last of them leaves, it is given back.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from torch import Tensor

Value = TypeVar("Value")
Parts = Mapping[Hashable, int]
"""The bytes of every object that a value is made of; an object that two values share is one."""
SHARED_BY_ALL = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)


def parts_of(value: object, apart: tuple[type, ...] = ()) -> dict[Hashable, int]:
    """Return the bytes of each object that a value holds.

    A tensor counts as its whole storage, which is what lazily committed memory may come to, and an
    array as the one that it is a view of. Parts that a value computes and keeps
    later are not counted yet.

    Args:
        value: Dataclasses, containers, tensors, arrays, tables, texts and numbers in any depth.
        apart: Types whose objects are kept by somebody else and count nothing.

    Example:
        >>> import torch
        >>> row = torch.zeros(1000, 250)[0]
        >>> sum(parts_of((row, row)).values()) > 1_000_000, max(parts_of(row).values())
        (True, 1000000)
    """
    parts: dict[Hashable, int] = {}
    waiting: list[object] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (*SHARED_BY_ALL, *apart)) or id(one) in parts:
            continue
        parts[id(one)] = sys.getsizeof(one)
        if isinstance(one, Tensor):
            parts |= _storages(one)
        elif isinstance(one, np.ndarray):
            base = one if one.base is None else one.base
            parts[id(base)] = int(getattr(base, "nbytes", sys.getsizeof(base)))
        elif isinstance(one, pa.Table | pa.Array | pa.ChunkedArray):
            parts[id(one)] = one.nbytes
        else:
            waiting.extend(_held_by(one))
    return parts


def _storages(tensor: Tensor) -> dict[Hashable, int]:
    """Return the memory behind a tensor, by its address."""
    if tensor.is_sparse:
        return _storages(tensor._indices()) | _storages(tensor._values())
    storage = tensor.untyped_storage()
    return {(str(storage.device), storage.data_ptr()): storage.nbytes()}


def _held_by(one: object) -> Iterator[object]:
    """Return the objects that another one refers to."""
    if isinstance(one, dict | MappingProxyType | OrderedDict):
        yield from one.keys()
        yield from one.values()
    elif isinstance(one, list | tuple | set | frozenset):
        yield from one
    yield from vars(one).values() if hasattr(one, "__dict__") else ()
    for name in getattr(type(one), "__slots__", ()):
        if hasattr(one, name):
            yield getattr(one, name)


@dataclass
class _Entry:
    """A value, its size and those who used it."""

    value: Any
    parts: Parts
    users: set[str]


@dataclass
class KeptValues:
    """The values used last. They are shared, so nobody may change them.

    Several threads may ask at once; who asks for a value that is being computed waits for it.
    """

    limit_bytes: int | None = None
    """Bytes of all values together. One that is larger is returned and not kept."""
    max_entries: int | None = None
    apart: tuple[type, ...] = ()
    """Types whose objects count nothing, because somebody else keeps them."""
    _entries: OrderedDict[Hashable, _Entry] = field(default_factory=OrderedDict)
    _parts: dict[Hashable, tuple[int, int]] = field(default_factory=dict)
    """Bytes of each object that is kept, and the number of values that it is in."""
    _n_bytes: int = 0
    _stays: dict[str, int] = field(default_factory=dict)
    _making: dict[Hashable, Lock] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def n_bytes(self) -> int:
        """Bytes of all values; an object in several of them counts once."""
        return self._n_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable, compute: Callable[[], Value], user: str = "") -> Value:
        """Return the value of a key, computed on a miss.

        Args:
            key: Everything that the value is a function of.
            compute: Makes it. An error is passed on, and nothing is kept.
            user: Who uses it, with ``enter`` before; nothing is kept for one who has left. Values
                that nobody is named for stay as long as there is room.
        """
        with self._lock:
            if (entry := self._found(key, user)) is not None:
                return entry.value  # type: ignore[no-any-return]
            making = self._making.setdefault(key, Lock())
        with making:
            with self._lock:  # another thread may have made it meanwhile
                if (entry := self._found(key, user)) is not None:
                    return entry.value  # type: ignore[no-any-return]
            try:
                value = compute()
                parts = parts_of(value, self.apart) if self.limit_bytes is not None else {}
                with self._lock:
                    self._keep(key, value, parts, user)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def enter(self, user: str) -> None:
        """Keep what a user uses from now on; one who enters twice leaves twice."""
        with self._lock:
            self._stays[user] = self._stays.get(user, 0) + 1

    def leave(self, user: str) -> int:
        """Let go of what nobody else used; returns the number of values that went."""
        with self._lock:
            self._stays[user] = self._stays.get(user, 0) - 1
            if self._stays[user] > 0:
                return 0
            del self._stays[user]
            gone = []
            for key, entry in self._entries.items():
                if user in entry.users:
                    entry.users.discard(user)
                    gone += [] if entry.users else [key]
            for key in gone:
                self._drop(key)
            return len(gone)

    def _found(self, key: Hashable, user: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            if user in self._stays:
                entry.users.add(user)
        return entry

    def _keep(self, key: Hashable, value: object, parts: Parts, user: str) -> None:
        """Keep a value, and let those go that were not used for longest until there is room."""
        if user and user not in self._stays:
            return
        if self.limit_bytes is not None and sum(parts.values()) > self.limit_bytes:
            return
        self._entries[key] = _Entry(value, parts, {user} if user else set())
        for part, size in parts.items():
            known, n = self._parts.get(part, (size, 0))
            self._parts[part] = (known, n + 1)
            self._n_bytes += 0 if n else size
        while self._too_much():
            self._drop(next(iter(self._entries)))

    def _too_much(self) -> bool:
        return (self.limit_bytes is not None and self._n_bytes > self.limit_bytes) or (
            self.max_entries is not None and len(self._entries) > self.max_entries
        )

    def _drop(self, key: Hashable) -> None:
        for part in self._entries.pop(key).parts:
            size, n = self._parts[part]
            if n > 1:
                self._parts[part] = (size, n - 1)
            else:
                del self._parts[part]
                self._n_bytes -= size
