"""Plain data as a short text that may stand in an address, and back: anyone may have written it."""

import base64
import binascii
import json
import zlib
from typing import Any

VERSION = "1."
LONGEST = 200_000
"""Characters of the JSON in a text."""


def pack(data: Any) -> str:
    """Return JSON-able data as text."""
    packed = zlib.compress(json.dumps(data, separators=(",", ":")).encode(), level=9)
    return VERSION + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def unpack(text: str) -> Any:
    """Return the data in a text; None where there is none or too much."""
    if not text.startswith(VERSION):
        return None
    body = text.removeprefix(VERSION)
    try:
        packed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        reader = zlib.decompressobj()
        raw = reader.decompress(packed, LONGEST)
        return json.loads(raw) if reader.eof else None
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None
