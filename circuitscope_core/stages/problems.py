"""Snowflake's errors as sentences: what went wrong, with what, and what to do about it.

The number decides, not the wording. The connector carries it in ``errno``, Snowpark in
``sql_error_code`` or in the error of the connector that it wraps; both families occur.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from circuitscope_core.errors import StageError


class _Meaning(NamedTuple):
    problem: str
    remedy: str


_MISSING = _Meaning(
    "It does not exist, or your role may not see it; Snowflake does not tell which.",
    "Check the spelling (names in quotes keep their case), and ask for USAGE on the database and "
    "schema and for READ or WRITE on the stage.",
)
_RIGHTS = _Meaning(
    "Your role may not do that.",
    "Choose another role, or ask the owner for the right: READ on a stage to read it, WRITE to "
    "save in it, CREATE STAGE on the schema to make one.",
)
_NO_WAREHOUSE = _Meaning(
    "No warehouse is running for you.",
    "Choose one in the connection or with USE WAREHOUSE; your role needs USAGE on it.",
)
_TRANSFER = _Meaning(
    "The file could not be carried to or from the storage behind the stage.",
    "Try again; if it stays so, a firewall or proxy keeps this machine from that storage: "
    "SELECT SYSTEM$ALLOWLIST() names the hosts it must reach.",
)
_UNREACHABLE = _Meaning(
    "Snowflake could not be reached.",
    "Check the account name, the network, and a proxy or VPN.",
)
_SESSION_OVER = _Meaning("The login has expired.", "Connect again.")
_CREDENTIALS = _Meaning(
    "Snowflake refused the user name or what proves it.",
    "Check user, password, key or token, and the account that they belong to.",
)
_LOCKED = _Meaning(
    "Snowflake has locked or disabled the user.",
    "Wait a quarter of an hour after several wrong passwords, or ask an administrator.",
)
_SECOND_FACTOR = _Meaning(
    "The second factor of the login (MFA) was not given or not accepted.",
    "Confirm it on your device, or use a key pair or a programmatic access token, which need none.",
)
_TOKEN = _Meaning(
    "The token or key that proves the user is expired or not valid.",
    "Make a new one and put it into the connection.",
)
_ROLE = _Meaning(
    "The role of the connection does not exist or was not granted to the user.",
    "Name another role, or ask for this one with GRANT ROLE.",
)
_NETWORK_POLICY = _Meaning(
    "A network policy of the account keeps this machine's address out.",
    "Use the company's network or VPN, or ask an administrator to allow the address.",
)
_INCOMPLETE = _Meaning(
    "The connection lacks something that is needed to log in.",
    "Complete account, user and password, key or token in the connection's settings.",
)
_NO_FILE = _Meaning(
    "The file is not there.", "Refresh the list of files; it may have been deleted or renamed."
)

_MEANINGS: dict[int, _Meaning] = {
    606: _NO_WAREHOUSE,
    1003: _Meaning(
        "Snowflake does not understand the statement.",
        "Check the names for signs that do not belong there; if they are right, report it.",
    ),
    2003: _MISSING,
    2043: _MISSING,
    3001: _RIGHTS,
    3003: _RIGHTS,
    3013: _ROLE,
    250001: _UNREACHABLE,
    250002: _SESSION_OVER,
    250003: _UNREACHABLE,
    250005: _UNREACHABLE,
    250006: _Meaning(
        "The identity provider did not let the login pass.",
        "Check its address and your login there.",
    ),
    251001: _INCOMPLETE,
    251005: _INCOMPLETE,
    251006: _INCOMPLETE,
    251007: _INCOMPLETE,
    251008: _Meaning("The private key cannot be read.", "Check the key file and its pass phrase."),
    251009: _INCOMPLETE,
    251010: _TOKEN,
    251011: _UNREACHABLE,
    252007: _SESSION_OVER,
    253001: _TRANSFER,
    253002: _TRANSFER,
    253003: _TRANSFER,
    253006: _NO_FILE,
    253009: _TRANSFER,
    290403: _UNREACHABLE,
    290404: _Meaning(
        "There is no account of that name.",
        "Check it: ORGANISATION-ACCOUNT, as SELECT CURRENT_ORGANIZATION_NAME() || '-' || "
        "CURRENT_ACCOUNT_NAME() gives it.",
    ),
    390100: _CREDENTIALS,
    390101: _LOCKED,
    390102: _LOCKED,
    390104: _SESSION_OVER,
    390110: _SESSION_OVER,
    390111: _SESSION_OVER,
    390112: _SESSION_OVER,
    390113: _SESSION_OVER,
    390114: _SESSION_OVER,
    390115: _SESSION_OVER,
    390120: _SECOND_FACTOR,
    390121: _SECOND_FACTOR,
    390122: _SECOND_FACTOR,
    390123: _LOCKED,
    390126: _SECOND_FACTOR,
    390127: _SECOND_FACTOR,
    390129: _SECOND_FACTOR,
    390144: _TOKEN,
    390186: _ROLE,
    390189: _ROLE,
    390195: _TOKEN,
    390197: _SECOND_FACTOR,
    390303: _TOKEN,
    390318: _TOKEN,
    390420: _NETWORK_POLICY,
    390422: _NETWORK_POLICY,
    390429: _NETWORK_POLICY,
}
_LOGIN = range(390_000, 391_000)
_REFUSED = _Meaning("Snowflake refused the login.", "Follow what it says, or ask an administrator.")
_WRAPPERS = frozenset({-1, 0, 1300, 1304, 1305})
"""Numbers that only say that another error lies inside."""
_MOST_TEXT = 300
_SECRETS = (
    re.compile(r"-{3,}BEGIN.*?(?:END[ A-Z]*-{3,}|$)", re.DOTALL),
    re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}"),  # JSON web tokens
    re.compile(r"(?<=[?&])[^\s'\"<>]+"),  # what follows an address: signatures of storage links
    re.compile(
        r"(?i)(?<![a-z])((?:pass(?:word|code|phrase|wd)?|pwd|token|secret|signature|sig|credential|"
        r"(?:private|access|secret|api)[ _-]?key(?:[ _-]?id)?)s?['\"]?"
        r"\s*(?:[=:]|\bis(?=\s+\S*\d))\s*)"  # "token is abc123", but not "password is wrong"
        r"(?:'[^']*'?|\"[^\"]*\"?|[^\s,;)]+)"
    ),
    re.compile(r"(?<![\w/+=.-])(?=[\w/+=-]*\d)(?=[\w/+=-]*[A-Za-z])[\w/+=-]{40,}"),  # keys
)
_HEAD = re.compile(r"^\(?\d{4,6}\)?(?: \(\w{5}\))?:\s*(?:[0-9a-f]{8}-[0-9a-f-]+:\s*|\d+:\s*)?")


def explain(error: BaseException, what: str) -> StageError:
    """Return an error of ours that says what happened, for the person using the app.

    Args:
        error: Any error of Snowpark, the connector, or the network below them.
        what: What was being done, as the beginning of a sentence: ``Listing @S/pile``.
    """
    if isinstance(error, StageError):
        return error
    number = error_number(error)
    meaning = _meaning(number, error)
    said = f" Snowflake says ({number:06d}): " if number else " The error: "
    text = first_line(error)
    if meaning is None:
        return StageError(f"{what} did not work.{said}{text}")
    shown = said + text if text else ""
    return StageError(f"{what} did not work. {meaning.problem} {meaning.remedy}{shown}")


def _meaning(number: int, error: BaseException) -> _Meaning | None:
    if number in _MEANINGS:
        return _MEANINGS[number]
    if number in _LOGIN:
        return _REFUSED
    if not number and isinstance(error, ConnectionError | TimeoutError):
        return _UNREACHABLE
    return None


def error_number(error: BaseException) -> int:
    """Return Snowflake's number of an error, or of the one inside it; 0 where there is none."""
    numbers = list(_numbers(error, depth=3))
    return next((number for number in numbers if number not in _WRAPPERS), 0)


def _numbers(error: BaseException | None, depth: int) -> Iterator[int]:
    if error is None or not depth:
        return
    for name in ("sql_error_code", "errno"):
        value = getattr(error, name, None)
        # an OSError's errno is the system's and not Snowflake's
        if (
            value is not None
            and not isinstance(error, OSError)
            and str(value).lstrip("-").isdigit()
        ):
            yield int(value)
    yield from _numbers(getattr(error, "conn_error", None), depth - 1)
    yield from _numbers(error.__cause__, depth - 1)


def is_passing(error: BaseException) -> bool:
    """Tell whether the same call may work in a moment: the network failed, not the request."""
    number = error_number(error)
    if number:
        return _MEANINGS.get(number) in (_TRANSFER, _UNREACHABLE)
    return isinstance(error, OSError) and not isinstance(error, PermissionError)


def first_line(error: BaseException) -> str:
    """Return the first line that says something, without numbers in front and without secrets."""
    text = getattr(error, "raw_message", None) or getattr(error, "msg", None) or str(error)
    lines = [line.strip() for line in hide_secrets(str(text)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    head = _HEAD.sub("", lines[0])
    if len(lines) > 1 and (head.endswith(":") or not head):
        head = f"{head} {lines[1]}".strip()
    return head if len(head) <= _MOST_TEXT else f"{head[:_MOST_TEXT]}…"


def hide_secrets(text: str) -> str:
    """Return a text in which passwords, tokens, keys and signatures are replaced by ``…``."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda found: f"{found[1] if found.re.groups else ''}…", text)
    return text
