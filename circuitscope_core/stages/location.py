"""A place in a Snowflake stage: ``@database.schema.stage/path``, read, checked and quoted."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from circuitscope_core.errors import StageError
from circuitscope_core.stages.identifiers import (
    check_characters,
    quote_identifier,
    quote_text,
    show_identifier,
    split_identifier,
)

FORM = "@database.schema.stage/path"
MAX_PATH = 1024
"""Bytes of a path in UTF-8; what the object stores behind stages allow."""
_WILDCARD = re.compile(r"[*?]")
_GLOB = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")


@dataclass(frozen=True)
class StageLocation:
    """A stage and a path in it, which may be a pattern with ``*``, ``**`` and ``?``."""

    names: tuple[str, ...]
    """Database, schema and stage as Snowflake stores them; fewer where the session's are meant;
    none for the user's own stage ``@~``."""
    path: str = ""
    """The path with slashes, without one at either end."""
    table: bool = False
    """Whether the last name is a table whose own stage is meant: ``@%table``."""

    def __post_init__(self) -> None:
        if len(self.names) > 3 or (self.table and not self.names):
            raise StageError(f"{self.names} name no stage; write {FORM}.")
        for name in self.names:
            quote_identifier(name)
        _check_path(self.path)

    @classmethod
    def parse(cls, text: str) -> "StageLocation":
        """Read an address as Snowflake does: names in upper case unless they stand in quotes.

        Args:
            text: ``@stage``, ``@schema.stage``, ``@database.schema.stage``, ``@~`` or ``@%table``,
                each with or without a path after a slash.

        Raises:
            StageError: If it has another form, or ``..``, an empty part or a control character.
        """
        check_characters(text, f"The address {text!r}")
        if not text.startswith("@"):
            raise StageError(f"{text!r} is no stage; write {FORM}.")
        if text == "@~" or text.startswith("@~/"):
            return cls((), _path_after(text, text[2:]))
        names, rest, table = [], text[1:], False
        while True:
            table = rest.startswith("%")
            try:
                name, rest = split_identifier(rest[1:] if table else rest)
            except StageError as error:
                raise StageError(f"{text} names no stage: {error} Write {FORM}.") from error
            names.append(name)
            if table or not rest.startswith("."):
                break
            rest = rest[1:]
        if len(names) > 3:
            raise StageError(f"{text} has {len(names)} names before the path; write {FORM}.")
        return cls(tuple(names), _path_after(text, rest), table)

    def __str__(self) -> str:
        """Return the address as a person writes it; ``parse`` reads it back."""
        return self._address(show_identifier)

    @property
    def sql(self) -> str:
        """The address as one SQL string with every name quoted: ``'@"DB"."S"."STAGE"/path'``."""
        return quote_text(self._address(quote_identifier))

    def address_below(self, prefix: str) -> str:
        """Return the address, every name quoted, of what is below the path and begins alike.

        A slash closes the path: Snowflake goes by prefixes, and without it ``@s/pile`` would stand
        for ``@s/pile2`` too.
        """
        text = self._address(quote_identifier)
        return f"{text}/{prefix}" if self.path or prefix else text

    def sql_below(self, prefix: str) -> str:
        """Return the SQL string of ``address_below``."""
        return quote_text(self.address_below(prefix))

    def _address(self, write: Callable[[str], str]) -> str:
        *spaces, last = self.names or ("~",)
        own = "%" if self.table else ""
        end = f"{own}{write(last)}" if self.names else "~"
        stage = "@" + ".".join([*map(write, spaces), end])
        return f"{stage}/{self.path}" if self.path else stage

    @property
    def root(self) -> "StageLocation":
        """The stage itself."""
        return replace(self, path="")

    @property
    def stage_name(self) -> str:
        """The name that a listing puts before each path; empty for a stage of a user or a table."""
        return self.names[-1] if self.names and not self.table else ""

    def below(self, name: str) -> "StageLocation":
        """Return a place below this one.

        Raises:
            StageError: If the name has ``..``, an empty part or a control character.
        """
        return replace(self, path=f"{self.path}/{name}" if self.path else name)

    @property
    def is_pattern(self) -> bool:
        """Whether the path has wildcards."""
        return bool(_WILDCARD.search(self.path))

    @property
    def fixed_prefix(self) -> str:
        """The path as far as it holds no wildcard: all that can match begins with it."""
        return _WILDCARD.split(self.path)[0]

    def matches(self, path: str) -> bool:
        """Tell whether the pattern fits a path of the stage as a whole.

        ``*`` and ``?`` stop at slashes; ``**`` does not, and ``**/`` may also stand for nothing.
        """
        return re.fullmatch(_regex(self.path), path, flags=re.DOTALL) is not None


def _regex(pattern: str) -> str:
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meanings.get(part) or re.escape(part) for part in _GLOB.findall(pattern))


def check_name(name: str) -> str:
    """Return the name of a file below a place if it can be one.

    Raises:
        StageError: If it is empty, has wildcards, ``..``, an empty part or a control character.
    """
    if not name:
        raise StageError("The name of the file is empty; name one.")
    if _WILDCARD.search(name):
        raise StageError(f"{name!r} is a pattern; name one file, without * and ?.")
    _check_path(name)
    return name


def _path_after(text: str, rest: str) -> str:
    if rest and not rest.startswith("/"):
        raise StageError(
            f"{rest[:20]!r} in {text} belongs to no name; put names with signs in double quotes, "
            "and a slash before the path."
        )
    return rest.removeprefix("/").removesuffix("/")


def _check_path(path: str) -> None:
    if not path:
        return
    check_characters(path, f"The path {path!r}")
    parts = path.split("/")
    for part in parts:
        if part in ("", ".", ".."):
            shown = "an empty part" if not part else repr(part)
            raise StageError(f"The path {path!r} has {shown}; name folders and files only.")
    if path != path.strip():
        raise StageError(f"The path {path!r} begins or ends with a space; remove it.")
    if len(path.encode()) > MAX_PATH:
        raise StageError(f"The path {path[:40]}… is longer than {MAX_PATH} bytes; shorten it.")
