"""``models/<name>/`` on disk and the objects it holds."""

from circuitscope_core.bundle.bundle import (
    Bundle,
    BundleMetadata,
    load_bundle,
    make_bundle,
    save_bundle,
)
from circuitscope_core.bundle.copying import copy_bundle
from circuitscope_core.bundle.entry import (
    CARDS,
    CARDS_STATE,
    ModelEntry,
    is_entry,
    read_entry,
    record_file,
)
from circuitscope_core.bundle.model_bin import (
    BIN,
    RETENTION_DAYS,
    BinnedModel,
    check_not_shipped,
    empty_bin,
    list_bin,
    put_in_bin,
    restore_model,
)
from circuitscope_core.bundle.names import ENTRY, name_fault
from circuitscope_core.bundle.record import read_record
from circuitscope_core.bundle.replacing import put_in_place
from circuitscope_core.bundle.stages import download_bundle, list_bundles, upload_bundle
from circuitscope_core.bundle.waiting import (
    finish_all_replacing,
    finish_replacing,
    forget_ready,
)

__all__ = [
    "BIN",
    "CARDS",
    "CARDS_STATE",
    "ENTRY",
    "RETENTION_DAYS",
    "BinnedModel",
    "Bundle",
    "BundleMetadata",
    "ModelEntry",
    "check_not_shipped",
    "copy_bundle",
    "download_bundle",
    "empty_bin",
    "finish_all_replacing",
    "finish_replacing",
    "forget_ready",
    "is_entry",
    "list_bin",
    "list_bundles",
    "load_bundle",
    "make_bundle",
    "name_fault",
    "put_in_bin",
    "put_in_place",
    "read_entry",
    "read_record",
    "record_file",
    "restore_model",
    "save_bundle",
    "upload_bundle",
]
