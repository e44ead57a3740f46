"""Folders that hold no weights but list them: ``transcoders`` in circuit-tracer's ``config.yaml``.

Each entry is the file of one layer, ``hf://owner/name/path`` or a path inside the folder.
"""

from functools import partial
from pathlib import Path, PurePosixPath

from circuitscope_core.errors import BundleError
from circuitscope_core.transcoder_formats import circuit_tracer, gemma_scope
from circuitscope_core.transcoder_formats.found import FoundTranscoder, LayerWeights
from circuitscope_core.transcoder_formats.hub import fetch_file, is_address
from circuitscope_core.transcoder_formats.weight_files import open_weights


def find(folder: Path) -> FoundTranscoder | None:
    """Return the transcoder that a folder lists; None where it lists none.

    Raises:
        BundleError: If an entry cannot be read, or a setting is not known.
    """
    if not (folder / circuit_tracer.CONFIG).is_file():
        return None
    settings = circuit_tracer.read_settings(folder)
    if "transcoders" not in settings:
        return None
    entries = settings["transcoders"]
    if not isinstance(entries, list) or not entries or not all(isinstance(e, str) for e in entries):
        raise BundleError(
            f"{folder / circuit_tracer.CONFIG}: transcoders is {entries!r}; it must be a list with "
            "the file of each layer."
        )
    paths = [_path_of(entry, folder) for entry in entries]
    if settings.get("model_kind") == "cross_layer_transcoder":
        layers = gemma_scope.cross_layer_readers(paths)
        return circuit_tracer.describe(settings, folder, layers, cross_layer=True)
    return circuit_tracer.describe(settings, folder, tuple(partial(_read, path) for path in paths))


def _path_of(entry: str, folder: Path) -> Path:
    if is_address(entry):
        return fetch_file(entry)
    inside = PurePosixPath(entry)
    if inside.is_absolute() or ".." in inside.parts:
        raise BundleError(
            f"{folder / circuit_tracer.CONFIG} lists {entry!r}, which is not inside the folder; "
            "list files of the folder, or hf://owner/name/path."
        )
    return folder / inside


def _read(path: Path) -> LayerWeights:
    """Read one layer's file, whose keys tell its layout."""
    names = open_weights(path).names
    if path.suffix == ".npz":
        return gemma_scope.read_npz(path)
    return gemma_scope.read_second(path) if "w_enc" in names else circuit_tracer.read_layer(path)
