"""Seconds from starting the app to a drawn graph, in a real browser, on a server nobody visited.

Usage: python bench/first_graph.py
"""

import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.browser.test_graph import graph_frame

ROOT = Path(__file__).resolve().parent.parent
REPEAT = 3
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start_to_graph(browser):
    """Start the app, open it as a first visitor, press the demo's button, wait for the canvas."""
    port = free_port()
    started = time.perf_counter()
    flags = ["--server.headless=true", f"--server.port={port}"]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server:
        try:
            page = browser.new_page()
            while time.perf_counter() - started < 60:
                try:
                    page.goto(f"http://127.0.0.1:{port}/")
                    break
                except Exception:  # the server is not listening yet
                    time.sleep(0.1)
            page.get_by_role("button", name="Show the demo graph").click(timeout=60_000)
            graph_frame(page)
            return time.perf_counter() - started
        finally:
            server.terminate()


def main():
    path = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        times = [start_to_graph(browser) for _ in range(REPEAT)]
        browser.close()
    shown = ", ".join(f"{seconds:.1f}" for seconds in times)
    print(f"Start to drawn graph: {shown} s (median {statistics.median(times):.1f} s)")


if __name__ == "__main__":
    main()
