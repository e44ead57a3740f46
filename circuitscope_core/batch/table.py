"""The Parquet table of many prompts, with a row for each of them.

Rows go into a journal as they come, a JSON object a line, so that neither memory nor what is lost
when the work is ended by force grows with their number. The Parquet file is written from it at the
end, or when the work is cancelled, under another name first.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from circuitscope_core.errors import GraphError
from circuitscope_core.files import reason_of, whole_file

PARQUET = "prompts.parquet"
JOURNAL = ".prompts.jsonl"
ROWS_AT_ONCE = 256
"""Rows of a row group: all that is in memory at once."""
FEATURE = pa.struct(
    [
        ("layer", pa.int32()),
        ("position", pa.int32()),
        ("feature", pa.int64()),
        ("token", pa.string()),
        ("label", pa.string()),
        ("influence", pa.float64()),
        ("activation", pa.float64()),
    ]
)
COLUMNS = pa.schema(
    [
        ("number", pa.int64()),
        ("prompt", pa.string()),
        ("prediction", pa.string()),
        ("probability", pa.float64()),
        ("replacement_score", pa.float64()),
        ("completeness_score", pa.float64()),
        ("completeness_circuit_tracer_score", pa.float64()),
        ("n_nodes", pa.int64()),
        ("n_edges", pa.int64()),
        ("error", pa.string()),
        ("graph", pa.string()),
        ("features", pa.list_(FEATURE)),
        ("work", pa.string()),
    ]
)
"""``work`` is a hash of bundle and settings: rows of one value were made in the same way."""
SCORES = ("replacement", "completeness", "completeness_circuit_tracer")


class PromptTable:
    """The rows of one folder: those of an earlier call, and over them those of this one."""

    def __init__(self, folder: Path) -> None:
        """Take over what is there.

        Raises:
            GraphError: If a table is there that is none of these, or the journal cannot be written.
        """
        self.folder, self._places = folder, dict[int, int]()
        """Where each number's last row begins in the journal."""
        with writing(folder):
            before = list(_read_journal(folder / JOURNAL))
            with whole_file(folder / JOURNAL) as fresh, fresh.open("wb") as file:
                for row in _read_table(folder / PARQUET):
                    self._places[row["number"]] = _append(file, row)
                for row in before:
                    self._places[row["number"]] = _append(file, row)
            self._file = (folder / JOURNAL).open("r+b")

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the prompts that have a row, rising."""
        return tuple(sorted(self._places))

    def row(self, number: int) -> dict[str, Any]:
        """Return a row."""
        self._file.seek(self._places[number])
        found: dict[str, Any] = json.loads(self._file.readline())
        return found

    def put(self, row: dict[str, Any]) -> None:
        """Add a row, or replace the one of its number; it is on disk when this returns.

        Raises:
            GraphError: If it cannot be written; the rows before it are kept.
        """
        with writing(self.folder):
            self._file.seek(0, os.SEEK_END)
            place = _append(self._file, row)
            self._file.flush()
        self._places[row["number"]] = place

    def close(self, keep: Callable[[int], bool]) -> None:
        """Write the Parquet file, with the rows whose numbers are to be kept.

        Raises:
            GraphError: If it cannot be written; the rows stay in the journal.
        """
        partial = self.folder / f".{PARQUET}.partial"
        kept = [number for number in self.numbers if keep(number)]
        try:
            with pq.ParquetWriter(partial, COLUMNS, compression="zstd") as writer:
                for start in range(0, len(kept), ROWS_AT_ONCE):
                    some = [_columns(self.row(n)) for n in kept[start : start + ROWS_AT_ONCE]]
                    writer.write_table(pa.Table.from_pylist(some, schema=COLUMNS))
            os.replace(partial, self.folder / PARQUET)
        except OSError as error:
            raise GraphError(
                f"{self.folder / PARQUET} cannot be written: {reason_of(error)}. Make room and "
                "call again with resume: all rows are kept."
            ) from error
        finally:
            with contextlib.suppress(OSError):  # what was not written has its error already
                self._file.close()
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        (self.folder / JOURNAL).unlink()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in words of the project that a file of a folder cannot be written.

    Raises:
        GraphError: If so; the rows before it are kept.
    """
    try:
        yield
    except OSError as error:
        raise GraphError(
            f"The files in {folder} cannot be written: {reason_of(error)}. Make room and call "
            "again with resume: the prompts before it are kept."
        ) from error


def _append(file: Any, row: dict[str, Any]) -> int:
    place: int = file.tell()
    file.write(json.dumps(row).encode() + b"\n")
    return place


def _read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole rows of work that was ended by force; the last line may be half written."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)


def _read_table(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(COLUMNS):
                raise pa.ArrowInvalid(f"its columns are {file.schema_arrow.names}")
            for batch in file.iter_batches(ROWS_AT_ONCE):
                yield from map(_plain, batch.to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise GraphError(
            f"{path} is no table of prompts that can be read: {error}. Move it away, or name "
            "another folder."
        ) from error


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the table has it: scores in columns of their own."""
    found = {name: row.get(name) for name in COLUMNS.names}
    return found | {f"{name}_score": row["scores"].get(name) for name in SCORES}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table as the journal has it."""
    scores = {name: row.pop(f"{name}_score") for name in SCORES}
    return row | {"scores": {name: value for name, value in scores.items() if value is not None}}
