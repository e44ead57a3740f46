"""One way to Snowflake for the app, for training processes and for notebooks.

Inside a warehouse the session is there already. Elsewhere the settings are looked for in
Streamlit's ``secrets.toml``, then where the connector keeps its connections, then in a container
of Snowflake's own, which is handed a token.
"""

import os
import socket
import threading
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from circuitscope_core.errors import StageError
from circuitscope_core.files import read_text, reason_of
from circuitscope_core.stages.problems import explain
from circuitscope_core.stages.snowflake_stage import SnowparkSession, in_warehouse

ConnectionKind = Literal["warehouse", "container", "secrets", "connections"]
REACH_SECONDS = 2.0
"""How long a host may take to be found and to answer before it is called unreachable."""
LOGIN_SECONDS = 30.0
BROWSER_LOGIN_SECONDS = 120.0
"""The seconds that a person has to log in by hand."""
TOKEN_FILE = Path("/snowflake/session/token")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_shared_lock = threading.Lock()
_shared: SnowparkSession = None


@dataclass(frozen=True)
class ConnectionSettings:
    """How Snowflake is reached; what proves the user is never shown."""

    kind: ConnectionKind
    account: str = ""
    user: str = ""
    host: str = ""
    port: int = 443
    where: str = ""
    """Where the settings were found: a file and the name of the connection in it."""
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Arguments of the connector, with a password, key or token among them."""

    @classmethod
    def of(
        cls, kind: ConnectionKind, parameters: Mapping[str, Any], where: str = ""
    ) -> "ConnectionSettings":
        """Read what can be shown out of the connector's parameters."""
        account, port = str(parameters.get("account", "")), str(parameters.get("port", 443))
        if not port.isdecimal():
            raise StageError(f"The port in {where} is {port!r}; it must be a number.")
        host = str(parameters.get("host", ""))
        return cls(
            kind,
            account,
            str(parameters.get("user", "")),
            host or _host_of(account, str(parameters.get("region", ""))),
            int(port),
            where,
            dict(parameters),
        )


def _host_of(account: str, region: str) -> str:
    """Return the host that the connector will call; the region may stand in the account."""
    if not account:
        return ""
    if region and region != "us-west-2":
        account = f"{account.split('.')[0]}.{region}"
    in_china = account.partition(".")[2].lower().startswith("cn-")
    return f"{account}.snowflakecomputing.{'cn' if in_china else 'com'}"


def find_connection() -> ConnectionSettings | None:
    """Return the settings that ``connect`` will use, or None; nothing is asked of the network.

    Raises:
        StageError: If a file of settings is there and cannot be read.
    """
    if in_warehouse():
        return ConnectionSettings("warehouse", where="this warehouse")
    for find in (_from_secrets, _from_connections, _from_container):
        if found := find():
            return found
    return None


def _from_secrets() -> ConnectionSettings | None:
    for folder in (Path.cwd(), Path.home()):
        path = folder / ".streamlit" / "secrets.toml"
        section = _table(_read(path), "connections", "snowflake")
        if section:
            return ConnectionSettings.of("secrets", section, f"{path}, [connections.snowflake]")
    return None


def _from_connections() -> ConnectionSettings | None:
    for folder in _settings_folders():
        config = _read(folder / "config.toml")
        path = folder / "connections.toml"
        # the connector's rule: a connections.toml stands instead of the other's connections
        connections = _read(path) if path.is_file() else _table(config, "connections")
        path = path if path.is_file() else folder / "config.toml"
        if text := os.environ.get("SNOWFLAKE_CONNECTIONS"):
            connections, path = _parse(text, "SNOWFLAKE_CONNECTIONS"), Path("SNOWFLAKE_CONNECTIONS")
        wanted = os.environ.get("SNOWFLAKE_DEFAULT_CONNECTION_NAME")
        name = wanted or str(config.get("default_connection_name", "default"))
        section = _table(connections, name)
        if section:
            return ConnectionSettings.of("connections", section, f"{path}, [{name}]")
        if wanted and connections:
            raise StageError(
                f"{path} has no connection {name!r}, which SNOWFLAKE_DEFAULT_CONNECTION_NAME "
                f"names; it has {', '.join(sorted(connections))}."
            )
    return None


def _settings_folders() -> Iterator[Path]:
    """Yield the folder that the connector takes: the first that exists."""
    home = Path(os.environ.get("SNOWFLAKE_HOME", "~/.snowflake")).expanduser()
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    others = (config_home / "snowflake", Path.home() / "Library/Application Support/snowflake")
    yield next((folder for folder in (home, *others) if folder.is_dir()), home)


def _from_container() -> ConnectionSettings | None:
    host, account = os.environ.get("SNOWFLAKE_HOST"), os.environ.get("SNOWFLAKE_ACCOUNT")
    if not (TOKEN_FILE.is_file() and host and account):
        return None
    names = ("database", "schema", "warehouse", "role")
    values = {name: os.environ.get(f"SNOWFLAKE_{name.upper()}") for name in names}
    parameters: dict[str, Any] = {name: value for name, value in values.items() if value}
    # the file, not its contents: Snowflake renews the token every few minutes
    parameters |= {"account": account, "host": host, "authenticator": "oauth"}
    return ConnectionSettings.of("container", parameters, str(TOKEN_FILE))


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(read_text(path), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise StageError(f"{path} cannot be read: {reason_of(error)}; check it.") from error


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StageError(f"{where} is not valid TOML: {error}; mend it.") from error


def _table(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        data = data.get(name, {}) if isinstance(data, Mapping) else {}
    return dict(data) if isinstance(data, Mapping) else {}


def connect(
    found: ConnectionSettings | None = None, timeout: float = LOGIN_SECONDS
) -> SnowparkSession:
    """Return a Snowpark session.

    Args:
        found: What ``find_connection`` returned; looked for where None.
        timeout: Seconds that the login may take, once the host has answered.

    Raises:
        StageError: If there are no settings, snowflake is not installed, the host does not answer
            within ``REACH_SECONDS``, or the login is refused.
    """
    found = found or find_connection()
    if found is None:
        raise StageError(
            "This machine has no connection to Snowflake. Write one into .streamlit/secrets.toml "
            "as [connections.snowflake], or into ~/.snowflake/connections.toml as [default], with "
            "account, user and what proves the user."
        )
    if found.kind == "warehouse":
        return _active_session()
    if not found.host:
        raise StageError(f"The connection in {found.where} names no account; add one.")
    _check_reachable(found)
    builder = _session_class().builder.configs(_parameters(found, timeout))
    try:
        return builder.create()
    except Exception as error:  # errors of Snowpark and the connector share no base class
        raise explain(error, f"Logging in to {found.account or found.host}") from error


def _session_class() -> Any:
    try:
        from snowflake.snowpark import Session
    except ImportError as error:
        raise StageError(
            "Stages need the package snowflake-snowpark-python; run: "
            "pip install snowflake-snowpark-python."
        ) from error
    return Session


def _active_session() -> SnowparkSession:
    from snowflake.snowpark.context import get_active_session

    try:
        return get_active_session()
    except Exception as error:  # as in connect
        raise explain(error, "Taking the warehouse's session") from error


def _parameters(found: ConnectionSettings, timeout: float) -> dict[str, Any]:
    parameters = dict(found.parameters)
    by_hand = str(parameters.get("authenticator", "")).lower() == "externalbrowser"
    parameters.setdefault("login_timeout", int(BROWSER_LOGIN_SECONDS if by_hand else timeout))
    parameters.setdefault("network_timeout", max(60, int(timeout)))
    if found.kind == "container":
        parameters["token"] = TOKEN_FILE.read_text(encoding="utf-8").strip()
    return parameters


def _check_reachable(found: ConnectionSettings) -> None:
    """Say within two seconds what the connector would find out after minutes of trying."""
    if any(os.environ.get(name) for name in _PROXIES) or found.parameters.get("proxy_host"):
        return  # the proxy finds the host, and this machine need not
    problem: list[str] = ["did not answer within 2 s"]
    done = threading.Event()

    def reach() -> None:
        try:
            socket.create_connection((found.host, found.port), timeout=REACH_SECONDS).close()
            problem.clear()
        except socket.gaierror:
            problem[0] = "cannot be found"
        except ConnectionRefusedError:
            problem[0] = f"refuses connections to port {found.port}"
        except OSError as error:
            if not isinstance(error, TimeoutError):
                problem[0] = f"cannot be reached ({error.strerror or type(error).__name__})"
        done.set()

    # in a thread, since looking up a name cannot be given a time
    threading.Thread(target=reach, name="reach Snowflake", daemon=True).start()
    done.wait(REACH_SECONDS)
    if problem:
        raise StageError(
            f"The account {found.account or '(none)'} cannot be reached: its host {found.host} "
            f"{problem[0]}. Check the account name, the network, and a proxy or VPN."
        )


def shared_session() -> SnowparkSession:
    """Return this process's session, opened at the first call.

    Sessions are shared between threads under ``use_session``'s lock.

    Raises:
        StageError: As ``connect``.
    """
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = connect()
        return _shared


def forget_session() -> None:
    """Close this process's session: the next call of ``shared_session`` opens another."""
    global _shared
    with _shared_lock:
        session, _shared = _shared, None
    if session is not None and not in_warehouse():
        try:
            session.close()
        except Exception as error:  # as in connect; it may be lost already
            del error
