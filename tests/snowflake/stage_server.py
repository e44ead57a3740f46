"""A Snowflake endpoint on this machine that the real Snowpark and connector talk to.

fakesnow answers logins and general SQL; in front of it stands a made-up account that answers what
is said about stages. Nothing of the client is patched.
"""

import gzip
import json
import logging
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fakesnow.server
import uvicorn

from tests.snowflake.account import Account, SqlError

QUERY, LOGIN, TRANSFER = "/queries/v1/query-request", "/session/v1/login-request", "/transfer"
PIECE = 1 << 16


@dataclass
class StageServer:
    """An ASGI application in front of fakesnow's."""

    account: Account
    url: str = ""
    login_error: tuple | None = None
    """Number and sentence with which logins are refused."""
    logins: list = field(default_factory=list)
    """The messages that clients sent to log in."""
    drops: list = field(default_factory=list)
    """Patterns of statements whose connection is closed without an answer, once each."""

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await fakesnow.server.app(scope, receive, send)
        path = scope["path"]
        if path.startswith(TRANSFER):
            return await self.carry(Path(path.removeprefix(TRANSFER)), send)
        if path == LOGIN and self.login_error:
            return await answer(send, refusal(*self.login_error))
        if path == LOGIN:
            return await self.login(scope, receive, send)
        if path != QUERY:
            return await fakesnow.server.app(scope, receive, send)
        return await self.query(scope, receive, send)

    async def login(self, scope, receive, send):
        """Let fakesnow log in, and add what a session needs to be closed again."""
        messages, body = [], await whole_body(receive)
        packed = dict(scope["headers"]).get(b"content-encoding") == b"gzip"
        self.logins.append(json.loads(gzip.decompress(body) if packed else body)["data"])

        async def again():
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message):
            messages.append(message)

        await fakesnow.server.app(scope, again, keep)
        data = json.loads(b"".join(message.get("body", b"") for message in messages))
        data["data"] |= {"masterToken": "master", "sessionId": 1}
        await answer(send, data)

    async def query(self, scope, receive, send):
        body = await whole_body(receive)
        headers = dict(scope["headers"])
        packed = headers.get(b"content-encoding") == b"gzip"
        sql = json.loads(gzip.decompress(body) if packed else body)["sqlText"]
        if self.dropped(sql):
            raise ConnectionAbortedError("dropped on purpose")
        try:
            result = self.account.answer(sql)
        except SqlError as error:
            return await answer(send, refusal(error.code, error.message, error.state))
        if result is not None:
            return await answer(send, result)

        async def again():
            return {"type": "http.request", "body": body, "more_body": False}

        return await fakesnow.server.app(scope, again, send)

    def dropped(self, sql):
        hit = next((drop for drop in self.drops if re.search(drop, sql, re.IGNORECASE)), None)
        if hit:
            self.drops.remove(hit)
        return hit is not None

    async def carry(self, file, send):
        """Send a file; its connection is lost in the middle where that was asked for."""
        size = file.stat().st_size
        cut = [d for d in self.account.damages if d.kept is not None and d.strikes(str(file))]
        end = int(size * cut[0].kept) if cut else size
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with file.open("rb") as data:
            while data.tell() < end:
                piece = data.read(min(PIECE, end - data.tell()))
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        if cut:
            raise ConnectionAbortedError("dropped on purpose")
        await send({"type": "http.response.body", "body": b""})

    def settings(self, **changes):
        """Return what a connection to this server takes."""
        return {
            "account": "fakesnow",
            "user": "tester",
            "password": "not-a-secret",
            "host": "127.0.0.1",
            "port": int(self.url.rpartition(":")[2]),
            "protocol": "http",
            "network_timeout": 10,
            "session_parameters": {
                "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
                "FAKESNOW_DB_PATH": ":isolated:",
            },
        } | changes


async def whole_body(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send, data):
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})


def refusal(code, message, state="08001"):
    data = {"errorCode": code, "sqlState": state, "queryId": str(uuid.uuid4())}
    return {"data": data, "code": code, "message": message, "success": False}


@contextmanager
def stage_server(folder) -> Iterator[StageServer]:
    """Run a server until the block ends; stages keep their files below the folder."""
    # what it does on purpose would fill the log
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "fakesnow.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    app = StageServer(Account(Path(folder)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app.url = f"http://127.0.0.1:{port}"
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield app
    finally:
        server.should_exit = True
        thread.join()
