"""Documents from Parquet files, in an order that never changes and in bounded memory.

A row group is decoded page by page from a small buffer: one that holds a whole file of several
hundred megabytes takes no more memory than many small ones.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from circuitscope_core.corpus.documents import Document, ReadCounter, end_of_character
from circuitscope_core.corpus.locations import find_parquet_files, location_name
from circuitscope_core.errors import CorpusError

READ_BUFFER_BYTES = 1 << 20
BATCH_BYTES = 4 << 20
"""Text decoded at a time, about: rows are taken by the average length in their row group."""
MAX_BATCH_ROWS = 256
MAX_SOURCE_LENGTH = 80
_UNREADABLE = (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError)
"""Errors that pyarrow raises on damage; the last one where the names of the columns are hit."""


@dataclass(frozen=True)
class ParquetSource:
    """The text column of one or more Parquet files.

    ``location`` is a file, a folder (with all ``*.parquet`` below it), a pattern, or
    ``hf://datasets/owner/name/path/file.parquet``. Files are read in the order of their sorted
    names, rows in the order of the file.
    """

    location: str | Path
    text_column: str = "text"
    max_document_bytes: int = 1_000_000
    redistributable: bool = False

    @property
    def name(self) -> str:
        """Last part of the path, or the address."""
        return location_name(str(self.location))

    def documents(self, counter: ReadCounter) -> Iterator[Document]:
        """Return the documents, after every file has been found, opened and its column checked.

        Raises:
            CorpusError: Here, if a file or its column cannot be used; while iterating, if a row
                group is damaged.
        """
        files = find_parquet_files(str(self.location))
        reader = ParquetReader(self.text_column, self.max_document_bytes)
        for path in files:
            reader.check(path, str(path))
        return (item for path in files for item in reader.read(path, str(path), counter))


@dataclass(frozen=True)
class ParquetReader:
    """Reads files one by one, wherever they came from."""

    text_column: str
    max_document_bytes: int

    def check(self, path: Path, shown: str) -> None:
        """Open a file and look at its column.

        Args:
            path: Where it lies.
            shown: What a user calls it.

        Raises:
            CorpusError: If it is no Parquet file or the column cannot be used.
        """
        with _open(path, shown) as file:
            _check_column(shown, file.schema_arrow, self.text_column)

    def read(self, path: Path, shown: str, counter: ReadCounter) -> Iterator[Document]:
        """Yield the documents of a file that was checked.

        Raises:
            CorpusError: If a row group is damaged.
        """
        counter.n_files += 1
        with _open(path, shown) as file:
            columns = _Columns.of(file.schema_arrow, self.text_column, path.stem)
            for row_group in range(file.num_row_groups):
                for batch in _batches(file, shown, row_group, columns):
                    yield from self._documents_of(batch, columns, counter)

    def _documents_of(
        self, batch: pa.RecordBatch, columns: "_Columns", counter: ReadCounter
    ) -> Iterator[Document]:
        texts, origins = columns.texts(batch), columns.origins(batch)
        for buffer, source in zip(texts, origins, strict=True):
            text = self._decode(buffer, counter)
            if text is not None:
                yield Document(text, source)

    def _decode(self, buffer: pa.Buffer | None, counter: ReadCounter) -> str | None:
        """Return one row's text, or None and a count of why there is none."""
        if buffer is None:
            counter.n_null += 1
            return None
        data = memoryview(buffer)
        end = end_of_character(data, self.max_document_bytes)
        try:
            text = str(data[:end], "utf-8")
        except UnicodeDecodeError:
            counter.n_not_text += 1
            return None
        if not text or text.isspace():
            counter.n_empty += 1
            return None
        counter.n_truncated += end < len(data)
        return text


@dataclass(frozen=True)
class _Columns:
    """Which columns of one file are read, and as what."""

    text: str
    origin: str | None
    """Top-level column that holds ``pile_set_name``, if there is one."""
    wanted: tuple[str, ...]
    default_origin: str

    @classmethod
    def of(cls, schema: pa.Schema, text: str, default_origin: str) -> "_Columns":
        origin, path = _origin_column(schema)
        if origin == text:
            origin, path = None, ""
        wanted = (text, path) if origin else (text,)
        return cls(text, origin, wanted, default_origin)

    def texts(self, batch: pa.RecordBatch) -> Iterator[pa.Buffer | None]:
        return _values(batch.column(self.text))

    def origins(self, batch: pa.RecordBatch) -> Iterator[str]:
        if self.origin is None:
            return iter([self.default_origin] * batch.num_rows)
        column = batch.column(self.origin)
        if pa.types.is_struct(column.type):
            column = column.field(0)
        return (self._origin(buffer) for buffer in _values(column))

    def _origin(self, buffer: pa.Buffer | None) -> str:
        name = "" if buffer is None else str(memoryview(buffer), "utf-8", "replace").strip()
        if self.origin == "meta" and name.startswith("{"):
            name = _name_in_json(name)
        return name[:MAX_SOURCE_LENGTH] or self.default_origin


def _origin_column(schema: pa.Schema) -> tuple[str | None, str]:
    """Return the column that tells where a row is from, and the path to read in it."""
    if "pile_set_name" in schema.names and _is_text(schema.field("pile_set_name").type):
        return "pile_set_name", "pile_set_name"
    if schema.names.count("meta") != 1:
        return None, ""
    kind = schema.field("meta").type
    if _is_text(kind):
        return "meta", "meta"
    names = [item.name for item in kind] if pa.types.is_struct(kind) else []
    if "pile_set_name" in names and _is_text(kind.field("pile_set_name").type):
        return "meta", "meta.pile_set_name"
    return None, ""


def _name_in_json(text: str) -> str:
    try:
        record = json.loads(text)
    except ValueError:
        return ""
    name = record.get("pile_set_name") if isinstance(record, dict) else None
    return name.strip() if isinstance(name, str) else ""


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def _values(column: pa.Array) -> Iterator[pa.Buffer | None]:
    """Return each row's bytes without copying them, and without asking whether they are text."""
    if pa.types.is_dictionary(column.type):
        # not decoded as a whole: many rows may point to one long text
        entries = _as_binary(column.dictionary)
        return (
            entries[index.as_py()].as_buffer() if index.is_valid else None
            for index in column.indices
        )
    return (value.as_buffer() for value in _as_binary(column))


def _as_binary(column: pa.Array) -> pa.Array:
    large = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    return column.cast(pa.large_binary() if large else pa.binary())


def _open(path: Path, shown: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(
            path,
            pre_buffer=False,
            buffer_size=READ_BUFFER_BYTES,
            page_checksum_verification=True,
        )
    except _UNREADABLE as error:
        raise CorpusError(
            f"{shown} cannot be read as a Parquet file: {_first_line(error)} {_advice(error)}"
        ) from error


def _advice(error: BaseException) -> str:
    """Return what to do about a file that cannot be opened."""
    if isinstance(error, PermissionError):
        return "Change its rights, or leave it out."
    if "ncrypted" in str(error):
        return "Encrypted files are not read; write it without encryption, or leave it out."
    return "Download or write it again, or leave it out."


def _check_column(shown: str, schema: pa.Schema, name: str) -> None:
    found = schema.names.count(name)
    if found == 1 and _is_text(schema.field(name).type):
        return
    if found == 1:
        problem = f"column {name!r} of {shown} holds {schema.field(name).type}, not text"
    elif found:
        problem = f"{shown} has {found} columns named {name!r}"
    else:
        problem = f"{shown} has no column {name!r}"
    others = [field.name for field in schema if _is_text(field.type) and field.name != name]
    said = f"{problem[0].upper()}{problem[1:]}"
    if not others:
        raise CorpusError(
            f"{said}; it has no text column. Write one: lists and parts of structures are not read."
        )
    raise CorpusError(
        f"{said}; text columns are: {', '.join(others)}. Name one as corpus.text_column (in the "
        f"shell --set corpus.text_column={others[0]})."
    )


def _batches(
    file: pq.ParquetFile, shown: str, row_group: int, columns: _Columns
) -> Iterator[pa.RecordBatch]:
    """Yield one row group in pieces of a few megabytes."""
    try:
        for batch in file.iter_batches(
            batch_size=_batch_rows(file.metadata.row_group(row_group)),
            row_groups=[row_group],
            columns=list(columns.wanted),
            use_threads=False,
        ):
            for column in batch.columns:
                _check_dictionary(column)
            yield batch
    except _UNREADABLE as error:
        damaged = _damaged_column(file, row_group, columns)
        raise CorpusError(
            f"{shown} is damaged: row group {row_group}, column {damaged!r} cannot be read: "
            f"{_first_line(error)} Download or write the file again."
        ) from error


def _check_dictionary(column: pa.Array) -> None:
    """Refuse a dictionary's column whose numbers lead nowhere; whether it is text is seen later.

    Raises:
        ArrowInvalid: If one does.
    """
    if pa.types.is_dictionary(column.type):
        ends = pc.min_max(column.indices).as_py()
        if ends["min"] is not None and not 0 <= ends["min"] <= ends["max"] < len(column.dictionary):
            wrong = ends["min"] if ends["min"] < 0 else ends["max"]
            raise pa.ArrowInvalid(f"Number {wrong} of its dictionary leads nowhere.")


def _batch_rows(row_group: Any) -> int:
    average = row_group.total_byte_size // max(1, row_group.num_rows)
    return int(min(MAX_BATCH_ROWS, max(1, BATCH_BYTES // max(1, average))))


def _damaged_column(file: pq.ParquetFile, row_group: int, columns: _Columns) -> str:
    """Return the first column that cannot be read alone."""
    for name in columns.wanted[1:]:
        try:
            for _ in file.iter_batches(row_groups=[row_group], columns=[name], use_threads=False):
                pass
        except _UNREADABLE:
            return name
    return columns.text


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if lines[0].endswith(".") else f"{lines[0]}."
