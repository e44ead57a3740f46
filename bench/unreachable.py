"""How soon the app is usable where its Snowflake account cannot be reached, and says why.

Run it with: python bench/unreachable.py
"""

import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.conftest import CHROMIUM, FLAGS, server
from tests.snowflake.settings import write_settings

RUNS = 3
BAR_SECONDS = 3.0
BASE = {"account": "nobody", "user": "nobody", "password": "none", "session_parameters": {}}
KINDS = {
    "no such host": {"host": "no-such-account.invalid", "port": 443},
    "a host that never answers": {"host": "10.255.255.1", "port": 443},
    "a port that refuses": {"host": "127.0.0.1"},
}


def measure(page, settings):
    """Return the seconds until the first page can be used and until the reason is there."""
    with tempfile.TemporaryDirectory() as home:
        environment = write_settings(Path(home), {**BASE, **settings})
        with server(**environment) as url:
            started = time.perf_counter()
            page.goto(url)
            page.get_by_role("button", name="Show the demo graph").wait_for()
            usable = time.perf_counter() - started
            page.get_by_text("Snowflake: not connected").wait_for(timeout=60_000)
            return usable, time.perf_counter() - started


def main():
    with socket.socket() as closed, sync_playwright() as playwright:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        KINDS["a port that refuses"]["port"] = closed.getsockname()[1]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        print(f"median of {RUNS}, a fresh server each time; bar {BAR_SECONDS:.0f} s")
        for kind, settings in KINDS.items():
            runs = [measure(browser.new_page(), settings) for _ in range(RUNS)]
            usable, told = (median(column) for column in zip(*runs, strict=True))
            print(f"{kind}: usable after {usable:.2f} s, reason after {told:.2f} s")
        browser.close()


if __name__ == "__main__":
    main()
