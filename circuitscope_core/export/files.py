"""Writing files so that nobody ever reads half of one, and names that are safe everywhere."""

import os
import re
import tempfile
from pathlib import Path

LONGEST_SLUG = 60
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def slugify(text: str) -> str:
    """Return text as ``[A-Za-z0-9_.-]+``, the letters that graph viewers accept in a name."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:LONGEST_SLUG].strip("-.")
    return slug or "graph"


def xml_text(text: str) -> str:
    """Return text with what XML cannot hold, such as NUL, replaced by U+FFFD."""
    return NOT_IN_XML.sub("\ufffd", text)


def write_text(path: Path, text: str) -> Path:
    """Write a file under a temporary name and rename it when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        partial.chmod(0o644)  # mkstemp lets only the owner read
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path
