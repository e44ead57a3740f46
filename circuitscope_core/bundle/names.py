"""Names that models may have, which are never paths, and those of their records."""

import re

from circuitscope_core.files import refused_by_windows

RECORD = "bundle.json"
"""The record of a bundle."""
ENTRY = "model.json"
"""The record of a model that was added."""
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def name_fault(name: str) -> str:
    """Return the reason why a model may not be called so; nothing where it may."""
    if MODEL_NAME.fullmatch(name):
        if not refused_by_windows(name):
            return ""
        return (
            f"{name!r} cannot be the name of a folder on Windows, to which the model may be copied "
            "one day; put a letter behind it, for example."
        )
    return (
        f"{name!r} is no model name; use letters, digits, dots, dashes and underscores, "
        "64 at most, beginning with a letter or digit."
    )
