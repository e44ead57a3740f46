"""The app's memory while visitors come and go: one server, many browser windows.

Ten visitors open a graph each, of ten prompts; ten more open the same ten graphs; then all leave.

Usage: python bench/sessions.py [--sessions 10] [--limit MB]
"""

import argparse
import sys
import time
from pathlib import Path
from urllib.parse import quote

import psutil
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.browser.conftest import CHROMIUM, FLAGS, server
from tests.browser.test_graph import open_graph

SUBJECTS = (
    "National Digital Analytics Group",
    "Royal Kettle Museum",
    "Central Harbour Bureau",
    "Northern Timber Council",
    "Global Maritime Institute",
    "Eastern Copper Foundation",
    "Public Railway Archive",
    "Southern Orchard Society",
    "United Weather Laboratory",
    "Western Bridge Authority",
    "Island Fishery Ministry",
    "Modern Textile Academy",
)
LEFT_SECONDS = (10, 30, 60)
"""Times after the last visitor left at which memory is read."""


def prompt_of(number):
    """Return one of the prompts, with the acronym begun but for its last letter."""
    name = SUBJECTS[number % len(SUBJECTS)]
    return f"The {name} ({''.join(word[0] for word in name.split())[:-1]}"


class Watched:
    """The server's process."""

    def __init__(self, address):
        port = int(address.rpartition(":")[2])
        found = [
            each
            for each in psutil.Process().children(recursive=True)
            if f"--server.port={port}" in each.cmdline()
        ]
        self.process = found[0]

    def megabytes(self):
        """Return the resident memory."""
        return self.process.memory_info().rss / 1e6


def visit(browser, address, number):
    """Open a graph in a window of its own, and wait until it is drawn and the page is at rest."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    open_graph(page, address, f"?prompt={quote(prompt_of(number))}")
    page.wait_for_timeout(3000)
    return page


def measure(address, n_sessions):
    """Print the memory at each step."""
    watched = Watched(address)
    start = watched.megabytes()
    print(f"{'start, nobody there':40}{start:8.0f} MB", flush=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for again in (False, True):
            before = watched.megabytes()
            for number in range(n_sessions):
                visit(browser, address, number)
                kind = "with the same prompts" if again else "with prompts of their own"
                if number in (0, n_sessions - 1):
                    here = watched.megabytes()
                    print(f"{f'{number + 1} sessions {kind}':40}{here:8.0f} MB", flush=True)
            if again:
                each = (watched.megabytes() - before) / n_sessions
                print(f"{'each further session':40}{each:8.1f} MB", flush=True)
        for context in browser.contexts:
            context.close()
        left = time.monotonic()
        for seconds in LEFT_SECONDS:
            time.sleep(max(0.0, left + seconds - time.monotonic()))
            print(f"{f'{seconds} s after all left':40}{watched.megabytes():8.0f} MB", flush=True)
        visit(browser, address, 0)
        print(f"{'the first one is back':40}{watched.megabytes():8.0f} MB", flush=True)
        browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--limit", help="of the values kept, in MB; the app's own where left out")
    options = parser.parse_args()
    extra = {"CIRCUITSCOPE_CACHE_MB": options.limit} if options.limit else {}
    with server(**extra) as address:
        measure(address, options.sessions)


if __name__ == "__main__":
    main()
