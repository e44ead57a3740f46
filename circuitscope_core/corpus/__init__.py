"""Training text: documents from Parquet files and built-in ones, as streams of token ids."""

from circuitscope_core.corpus.builtin import BuiltinSource, PythonLibrarySource
from circuitscope_core.corpus.documents import Document, DocumentSource, ReadCounter, ReadReport
from circuitscope_core.corpus.locations import check_location, find_parquet_files
from circuitscope_core.corpus.open_text import read_open_documents
from circuitscope_core.corpus.parquet import ParquetReader, ParquetSource
from circuitscope_core.corpus.sample import read_sample
from circuitscope_core.corpus.stage import StageSource, find_staged_files
from circuitscope_core.corpus.texts import GIVEN, TextSource, given_document
from circuitscope_core.corpus.tokens import Corpus, open_sources, read_corpus

__all__ = [
    "GIVEN",
    "BuiltinSource",
    "Corpus",
    "Document",
    "DocumentSource",
    "ParquetReader",
    "ParquetSource",
    "PythonLibrarySource",
    "ReadCounter",
    "ReadReport",
    "StageSource",
    "TextSource",
    "check_location",
    "find_parquet_files",
    "find_staged_files",
    "given_document",
    "open_sources",
    "read_corpus",
    "read_open_documents",
    "read_sample",
]
