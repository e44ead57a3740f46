"""Transcoders on disk: every layout that can be read, and the one that is written."""

from circuitscope_core.transcoder_formats.load import load_transcoder, place_transcoder
from circuitscope_core.transcoder_formats.save import save_transcoder
from circuitscope_core.transcoder_formats.weight_files import read_tensors

__all__ = ["load_transcoder", "place_transcoder", "read_tensors", "save_transcoder"]
