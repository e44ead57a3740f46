"""``bundle.json``: read, and every file that it names compared with its hash."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuitscope_core.bundle.entry import CARDS
from circuitscope_core.bundle.names import RECORD
from circuitscope_core.bundle.recorded_models import WEIGHTS, is_reference
from circuitscope_core.errors import BundleError
from circuitscope_core.files import read_text, reason_of, refusing

FORMAT_VERSION = 1


def read_record(folder: Path) -> dict[str, Any]:
    """Return the contents of ``bundle.json``.

    Raises:
        BundleError: If it is missing, no JSON object, of another format version, or lacks a part.
    """
    path = folder / RECORD
    if not path.is_file():
        raise BundleError(
            f"{folder} is no bundle: it has no {RECORD}. Name a bundle's folder"
            f"{'' if folder.is_absolute() else f', seen from {Path.cwd()}'}, or train a model."
        )
    try:
        record = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {reason_of(error)}.") from error
    if not isinstance(record, dict):
        raise BundleError(f"{path} holds no JSON object.")
    if record.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {record.get('format_version')}; "
            f"this program reads version {FORMAT_VERSION}."
        )
    for part in ("model", "transcoder", "files"):
        if not isinstance(record.get(part), dict):
            raise BundleError(f"{path} lacks the part {part!r}.")
    return record


def verify_files(folder: Path, record: Mapping[str, Any]) -> None:
    """Compare every file with its recorded hash.

    Raises:
        BundleError: If a needed file is not recorded, or one is missing, outside the bundle, or
            was changed.
    """
    needed = {CARDS, "training_log.jsonl", "transcoder/config.yaml"}
    if not is_reference(record["model"]):
        needed.add(WEIGHTS)
    if unlisted := sorted(needed - set(record["files"])):
        raise BundleError(f"{folder / RECORD} records no hash of {unlisted[0]}.")
    inside = folder.resolve()
    for name, expected in record["files"].items():
        path = (folder / name).resolve()
        if not path.is_relative_to(inside):
            raise BundleError(f"{RECORD} names {name!r}, which lies outside the bundle.")
        if not path.is_file():
            raise BundleError(f"The bundle {folder} lacks its file {name}.")
        if sha256_of(path) != expected:
            raise BundleError(f"The file {path} was changed since the bundle was saved.")


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits.

    Raises:
        BundleError: If it cannot be read.
    """
    with refusing(BundleError, f"{path} cannot be read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
