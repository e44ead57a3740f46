"""Names of Snowflake objects, read as Snowflake reads them and always written in quotes."""

import re

from circuitscope_core.errors import StageError

MAX_IDENTIFIER = 255
"""Characters; Snowflake's own limit."""
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_IDENTIFIER = re.compile(r'"(?:[^"]|"")+"|' + PLAIN.pattern)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_characters(text: str, what: str) -> None:
    """Refuse characters that no name may hold.

    Raises:
        StageError: If there is a control character or a line break.
    """
    if found := _CONTROL.search(text):
        raise StageError(f"{what} has the control character {found[0]!r}; remove it.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise StageError(f"{what} is no valid Unicode text; type it again.")


def quote_identifier(name: str) -> str:
    """Return a name in double quotes, so that SQL takes it as it is and as nothing else.

    Raises:
        StageError: If the name is empty, too long, or holds a control character.
    """
    if not name:
        raise StageError("A name of a database, schema, stage or role is empty; fill it in.")
    if len(name) > MAX_IDENTIFIER:
        raise StageError(
            f"The name {name[:20]}… has {len(name)} characters; Snowflake allows {MAX_IDENTIFIER}."
        )
    check_characters(name, f"The name {name!r}")
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a text as an SQL string, with backslashes and single quotes escaped."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def show_identifier(name: str) -> str:
    """Return a name as a person writes it: in quotes only where they are needed."""
    upper_case = PLAIN.fullmatch(name) and name == name.upper()
    return name if upper_case else quote_identifier(name)


def read_identifier(written: str) -> str:
    """Return the name that a written identifier means: upper case unless it stands in quotes.

    Raises:
        StageError: If it is no identifier.
    """
    name, rest = split_identifier(written.strip())
    if rest:
        raise StageError(f'{written!r} is no name; put it in double quotes: "{written}".')
    quote_identifier(name)
    return name


def split_identifier(written: str) -> tuple[str, str]:
    """Return the name that ``written`` begins with, and what stands after it.

    Raises:
        StageError: If it begins with no identifier.
    """
    found = _IDENTIFIER.match(written)
    if not found:
        raise StageError(
            f"{written[:40]!r} does not begin with a name; use letters, digits, _ and $, or put "
            "the name in double quotes."
        )
    text = found[0]
    name = text[1:-1].replace('""', '"') if text.startswith('"') else text.upper()
    return name, written[found.end() :]
