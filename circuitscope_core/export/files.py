"""Exported files, names that are safe everywhere, and text that XML can hold."""

import re
from pathlib import Path

from circuitscope_core.errors import GraphFileError
from circuitscope_core.files import refused_by_windows, write_whole

LONGEST_SLUG = 60
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def slugify(text: str) -> str:
    """Return text as ``[A-Za-z0-9_.-]+``, the letters that graph viewers accept in a name."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:LONGEST_SLUG].strip("-.") or "graph"
    return f"graph-{slug}" if refused_by_windows(slug) else slug


def xml_text(text: str) -> str:
    """Return text with what XML cannot hold, such as NUL, replaced by U+FFFD."""
    return NOT_IN_XML.sub("\ufffd", text)


def export_text(path: Path, text: str) -> Path:
    """Write a file that a person asked for, whole or not at all; return its path.

    Raises:
        GraphFileError: If it cannot be written; a file before it is as it was.
    """
    try:
        return write_whole(path, text)
    except OSError as error:
        raise GraphFileError(
            f"{path} cannot be written: {error.strerror or error}. Make room, or name another file."
        ) from error
