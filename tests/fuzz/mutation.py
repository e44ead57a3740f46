"""Damaged inputs: a sample with a few random changes, of its bytes or of the values in its JSON."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "0", "NaN", "\x00", "\ud800", "á\u0301"),
    *("../../etc/passwd", "C:\\x", "<script>", "${jndi:x}", "'; drop", "a" * 5000, "\u202e", "💥"),
    *([], {}, [[]], [None], [0] * 300, {"": {}}, [1.5, "x", None], {"__proto__": 1}),
)
"""Values that a careless reader takes for what it hoped for."""
ODD_BYTES = (b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\x7f", b"\xed\xa0\x80", b"9" * 40)


def mutate(sample: bytes, rng: random.Random) -> bytes:
    """Return a sample with up to four changes: of its JSON, if it is one, or of its bytes."""
    if sample[:1] in b"{[" and rng.random() < 0.75:
        try:
            return _mutated_json(json.loads(sample), rng)
        except ValueError:
            pass
    if rng.random() < 0.01:  # deeper than a parser can follow
        return b"[" * 100_000
    data = bytearray(sample)
    for _ in range(rng.randint(1, 4)):
        rng.choice(BYTE_CHANGES)(data, rng)
    return bytes(data)


def mutate_text(sample: str, rng: random.Random) -> str:
    """Return a text with up to four characters, or odd pieces, changed."""
    pieces = list(sample)
    for _ in range(rng.randint(1, 4)):
        place = rng.randint(0, len(pieces))
        odd = rng.choice((chr(rng.randrange(0x110000)), chr(rng.randrange(128)), _odd_text(rng)))
        pieces[place : place + rng.randint(0, 3)] = [odd]
    return "".join(pieces)


def _odd_text(rng: random.Random) -> str:
    value = rng.choice(ODD_VALUES)
    return value if isinstance(value, str) else str(value)[:40]


def _mutated_json(data: Any, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        data = _changed(data, rng)
    text = json.dumps(data)
    if rng.random() < 0.02:  # a key twice, which dicts cannot hold
        text = text.replace('":', '": null, "', 1)
    return text.encode("utf-8", "surrogatepass")


def _changed(data: Any, rng: random.Random) -> Any:
    """Return data with one place in it changed; a walk from the top chooses the place."""
    if not isinstance(data, dict | list) or not data or rng.random() < 0.1:
        return deepcopy(rng.choice(ODD_VALUES))
    key = rng.choice(list(data)) if isinstance(data, dict) else rng.randrange(len(data))
    action = rng.random()
    if action < 0.12:
        del data[key]
    elif action < 0.2 and isinstance(data, list):
        data.insert(rng.randrange(len(data) + 1), data[key])
    elif action < 0.2:
        data[str(rng.choice(ODD_VALUES))[:60]] = data[key]
    else:
        data[key] = _changed(data[key], rng)
    return data


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _insert(data: bytearray, rng: random.Random) -> None:
    place = rng.randint(0, len(data))
    data[place:place] = rng.choice(ODD_BYTES)


def _remove(data: bytearray, rng: random.Random) -> None:
    place = rng.randint(0, len(data))
    del data[place : place + rng.choice((1, 4, 64, 4096))]


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randint(0, len(data)) :]


def _repeat(data: bytearray, rng: random.Random) -> None:
    place = rng.randint(0, len(data))
    data[place:place] = data[place : place + rng.choice((1, 8, 128))]


def _number(data: bytearray, rng: random.Random) -> None:
    """Overwrite eight bytes, as a length in a header, with a number that is far too large or 0."""
    place = rng.choice((0, rng.randint(0, len(data))))
    data[place : place + 8] = rng.choice((0, 1, 2**31 - 1, 2**40, 2**63 - 1)).to_bytes(8, "little")


BYTE_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _flip, _insert, _remove, _cut, _repeat, _number),
)
