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
from circuitscope_core.bundle.transcoder_folder import load_transcoder, save_transcoder

__all__ = [
    "Bundle",
    "BundleMetadata",
    "copy_bundle",
    "download_bundle",
    "list_bundles",
    "load_bundle",
    "load_transcoder",
    "make_bundle",
    "save_bundle",
    "save_transcoder",
    "upload_bundle",
]
