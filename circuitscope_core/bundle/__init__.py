"""``models/<name>/`` on disk and the objects it holds."""

from circuitscope_core.bundle.bundle import (
    Bundle,
    BundleMetadata,
    load_bundle,
    make_bundle,
    save_bundle,
)
from circuitscope_core.bundle.copying import copy_bundle
from circuitscope_core.bundle.stages import download_bundle, list_bundles, upload_bundle

__all__ = [
    "Bundle",
    "BundleMetadata",
    "copy_bundle",
    "download_bundle",
    "list_bundles",
    "load_bundle",
    "make_bundle",
    "save_bundle",
    "upload_bundle",
]
