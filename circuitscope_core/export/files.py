"""Names and texts that are safe in the files that graphs are written to."""

import re

from circuitscope_core.files import refused_by_windows

LONGEST_SLUG = 60
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def slugify(text: str) -> str:
    """Return text as ``[A-Za-z0-9_.-]+``, the letters that graph viewers accept in a name."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:LONGEST_SLUG].strip("-.") or "graph"
    return f"graph-{slug}" if refused_by_windows(slug) else slug


def xml_text(text: str) -> str:
    """Return text with what XML cannot hold, such as NUL, replaced by U+FFFD."""
    return NOT_IN_XML.sub("\ufffd", text)
