"""Documents from Parquet files in a Snowflake stage: the same ones as from the same local files."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from circuitscope_core.corpus.documents import Document, ReadCounter
from circuitscope_core.corpus.locations import ENDINGS, is_shown
from circuitscope_core.corpus.parquet import ParquetReader
from circuitscope_core.errors import CorpusError
from circuitscope_core.stages import FileStore, StageLocation, StoredFile, download, open_store


@dataclass(frozen=True)
class StageSource:
    """The text column of Parquet files in a stage.

    ``location`` is a file, a folder (with all ``*.parquet`` below it) or a pattern, as in
    ``@database.schema.stage/pile/*.parquet``. The stage is listed once; its files are fetched one
    after the other, in the order of their sorted names, and deleted when they are read.
    """

    location: str
    text_column: str = "text"
    max_document_bytes: int = 1_000_000
    redistributable: bool = False
    store: FileStore | None = None
    """The whole stage; this process's own connection is used where None."""

    @property
    def name(self) -> str:
        """The address."""
        return self.location

    def documents(self, counter: ReadCounter) -> Iterator[Document]:
        """Return the documents, after the stage was listed and the first file's column checked.

        Raises:
            CorpusError: Here, if there is no file, or the first one or its column cannot be used;
                while iterating, if another one cannot, or a row group is damaged.
            StageError: If the stage cannot be listed, or a file does not arrive.
        """
        location = StageLocation.parse(self.location)
        store = self.store or open_store(str(location.root))
        names = [file.name for file in find_staged_files(store, location)]
        reader = ParquetReader(self.text_column, self.max_document_bytes)
        files = download(store, names)
        try:
            first = next(files)
            reader.check(first, f"{store.place}/{names[0]}")
        except BaseException:
            files.close()
            raise
        shown = [f"{store.place}/{name}" for name in names]
        return _read(reader, shown, first, files, counter)


def _read(
    reader: ParquetReader,
    shown: Sequence[str],
    first: Path,
    others: Generator[Path, None, None],
    counter: ReadCounter,
) -> Iterator[Document]:
    with closing(others):
        for name, path in zip(shown, chain([first], others), strict=False):
            if path != first:
                reader.check(path, name)
            yield from reader.read(path, name, counter)


def find_staged_files(store: FileStore, location: StageLocation) -> tuple[StoredFile, ...]:
    """Return the files that a location stands for, sorted by name: one listing.

    Args:
        store: The whole stage.
        location: A file, a folder or a pattern in it.

    Raises:
        CorpusError: If there is none.
        StageError: If the stage cannot be listed.
    """
    if location.is_pattern:
        found = store.list(location.fixed_prefix)
        hidden = _is_hidden(location.path)
        files = tuple(
            file
            for file in found
            if location.matches(file.name) and (hidden or not _is_hidden(file.name))
        )
    else:
        found = store.list(location.path)
        folder = f"{location.path}/" if location.path else ""
        files = tuple(file for file in found if file.name == location.path) or tuple(
            file
            for file in found
            if file.name.startswith(folder)
            and file.name.lower().endswith(ENDINGS)
            and not _is_hidden(file.name.removeprefix(folder))
        )
    if not files:
        others = f"; it has {len(found)} other files" if found else ""
        raise CorpusError(
            f"{location} holds no Parquet file{others}; name a place with *.parquet files, and "
            "put them there with PUT … AUTO_COMPRESS=FALSE."
        )
    return files


def _is_hidden(path: str) -> bool:
    """Return whether a part of a path is one that other programs hide, as in folders here."""
    return not all(map(is_shown, path.split("/")))
