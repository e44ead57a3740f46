"""Servers, and a browser that may talk to nobody else."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # a page whose answer a test rewrites counts as from elsewhere and may not speak to this host
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
]
SIZE = {"width": 1440, "height": 900}
STORED = "cookies,file_systems,indexeddb,local_storage,shader_cache,websql,service_workers"
"""All that pages can store; the cache of answers is the browser's own."""
HERE = {"127.0.0.1", "localhost", None}
# Streamlit asks below a page's own path first, then at the root
EXPECTED = ("/_stcore/health", "/_stcore/host-config")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until_healthy(address, tries=150):
    for _ in range(tries):
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health"):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{address} did not start")


@contextmanager
def server(**environment):
    address = f"http://127.0.0.1:{(port := free_port())}"
    flags = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", *flags]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}) as process:
        try:
            wait_until_healthy(address)
            yield address
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def serve():
    """Start a server with environment variables of its own: ``with serve(NAME="value") as url``."""
    return server


@pytest.fixture
def fresh_url():
    """The address of a server that nobody has visited yet."""
    with server() as address:
        yield address


@pytest.fixture(scope="session")
def url():
    """The address of a server that other tests visit too."""
    with server() as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """A browser that keeps Streamlit's scripts: they cost two seconds of processor time."""
    with sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.is_file() else None  # else the one playwright installed
        browser = playwright.chromium.launch_persistent_context(
            "", executable_path=path, args=FLAGS, viewport=SIZE, accept_downloads=True
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser):
    """A new visitor's browser; at the end no request may have gone to another machine.

    A page does not hear of every request, such as that for its icon; a context does.
    """
    strangers, origins = [], set()

    def hear(request):
        strangers.extend(elsewhere(request.url))
        origins.add("{0.scheme}://{0.netloc}".format(urlsplit(request.url)))

    browser.on("request", hear)
    yield browser
    browser.remove_listener("request", hear)
    forget(browser, origins)
    assert strangers == []


def forget(browser, origins):
    """Close every page, and clear what pages stored: nothing of one visitor is the next one's."""
    last = browser.new_page()  # a browser without a page ends
    for page in browser.pages:
        if page is not last:
            page.close()
    session = browser.new_cdp_session(last)
    for origin in origins:
        session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": STORED})
    session.detach()
    browser.set_offline(offline=False)
    browser.clear_cookies()
    browser.clear_permissions()


def elsewhere(url):
    """Return the address in a list if it leads to another machine."""
    parts = urlsplit(url)
    leaves = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in HERE
    return [url] if leaves else []


@pytest.fixture
def page(context):
    """A page; at the end no script may have failed, nor a socket have left this machine."""
    page = context.new_page()
    strangers, failures = [], []

    def hear(message):
        place = message.location.get("url", "")
        if message.type == "error" and not place.endswith(EXPECTED):
            failures.append(f"{message.text} ({place})")

    page.on("websocket", lambda socket: strangers.extend(elsewhere(socket.url)))
    page.on("console", hear)
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    assert strangers == []
    assert failures == []
