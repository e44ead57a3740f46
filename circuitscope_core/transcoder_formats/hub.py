"""Transcoders on the Hugging Face hub: ``hf://owner/name[/sub/folder][@revision]``."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitscope_core.errors import BundleError

SCHEME = "hf://"
PART = re.compile(r"[A-Za-z0-9][\w.-]*")
WANTED = ("*.safetensors", "*.npz", "*.json", "*.yaml")
"""Files that are fetched; pickles are not."""


@dataclass(frozen=True)
class Address:
    """A place on the hub."""

    repository: str
    path: str
    """Inside the repository; empty for all of it."""
    revision: str | None


def is_address(source: str) -> bool:
    """Return whether a source is a place on the hub."""
    return source.startswith(SCHEME)


def parse_address(source: str) -> Address:
    """Return the parts of an address.

    Raises:
        BundleError: If it is none.
    """
    place, _, revision = source.removeprefix(SCHEME).partition("@")
    parts = [part for part in place.split("/") if part]
    if len(parts) < 2 or not all(PART.fullmatch(part) for part in parts):
        raise BundleError(
            f"{source!r} is no place on the Hugging Face hub; write hf://owner/name, with a folder "
            "inside it and @revision after it where they are needed."
        )
    return Address("/".join(parts[:2]), "/".join(parts[2:]), revision or None)


def fetch_folder(source: str) -> Path:
    """Return a folder of the hub, fetching what is not on this machine yet.

    Raises:
        BundleError: If there is no such folder, or the hub cannot be reached.
    """
    address = parse_address(source)
    inside = f"{address.path}/" if address.path else ""
    patterns = [f"{inside}{pattern}" for pattern in WANTED]
    return _offline_first(
        source,
        "snapshot_download",
        address.path,
        repo_id=address.repository,
        allow_patterns=patterns,
        revision=address.revision,
    )


def fetch_file(source: str) -> Path:
    """Return a file of the hub, fetching it if it is not on this machine yet.

    Raises:
        BundleError: If there is no such file, or the hub cannot be reached.
    """
    address = parse_address(source)
    if not address.path:
        raise BundleError(f"{source} names no file; write hf://owner/name/path/of/the/file.")
    return _offline_first(
        source,
        "hf_hub_download",
        "",
        repo_id=address.repository,
        filename=address.path,
        revision=address.revision,
    )


def _offline_first(source: str, function: str, inside: str, **wanted: Any) -> Path:
    """Return what a function of huggingface_hub gives, asked for on this machine first.

    Args:
        source: For messages.
        function: Its name.
        inside: A path in what it gives; another part of it may be on this machine alone.
        wanted: Its arguments.
    """
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise BundleError(
            f"{source} is on the Hugging Face hub, which needs the package huggingface_hub. "
            "Install it with pip install -r requirements-pretrained.txt, or fetch the files "
            "elsewhere and give their folder."
        ) from error
    fetch = getattr(huggingface_hub, function)
    try:
        found = Path(fetch(**wanted, local_files_only=True)) / inside
        if found.exists():
            return found
    except (LocalEntryNotFoundError, ValueError):
        pass
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise BundleError(
            f"{source} is not on this machine, and HF_HUB_OFFLINE forbids fetching it."
        )
    try:
        return Path(fetch(**wanted)) / inside
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise BundleError(
            f"{source} cannot be fetched from the Hugging Face hub: {error}. Fetch its files "
            "elsewhere and give their folder."
        ) from error
