"""``models/<name>/`` on disk and the objects it holds."""

from circuitscope_core.bundle.bundle import (
    Bundle,
    BundleMetadata,
    load_bundle,
    make_bundle,
    read_record,
    save_bundle,
)
from circuitscope_core.bundle.copying import copy_bundle
from circuitscope_core.bundle.entry import (
    CARDS,
    CARDS_STATE,
    ENTRY,
    OWN_FILES,
    ModelEntry,
    is_entry,
    read_entry,
    record_file,
)
from circuitscope_core.bundle.names import name_fault
from circuitscope_core.bundle.stages import download_bundle, list_bundles, upload_bundle

__all__ = [
    "CARDS",
    "CARDS_STATE",
    "ENTRY",
    "OWN_FILES",
    "Bundle",
    "BundleMetadata",
    "ModelEntry",
    "copy_bundle",
    "download_bundle",
    "is_entry",
    "list_bundles",
    "load_bundle",
    "make_bundle",
    "name_fault",
    "read_entry",
    "read_record",
    "record_file",
    "save_bundle",
    "upload_bundle",
]
