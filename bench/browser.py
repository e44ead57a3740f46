"""How long the app takes in a browser: its start, first paint, card, lists, an intervention, other
pages, a large file, and what a click sends.

Usage: python bench/browser.py
"""

import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.graph_files import sample_file
from tests.browser.conftest import CHROMIUM, FLAGS, server
from tests.browser.test_graph import graph_frame, open_graph, open_tab, point_of

LONG = (
    "The National Digital Analytics Group (NDAG) and the Royal Kettle Museum (RKM) met in Paris on "
    "Monday, Tuesday and Wednesday; they counted 1, 2, 3, 4, 5 boxes [all of them] and wrote down "
    "what the Central Harbour Bureau (CHB) had said about the"
)
CASES = {
    "demo": "",
    "about 300 nodes": f"?prompt={quote(LONG[:120])}&nodes=0.92",
    "all nodes of 240 bytes": f"?prompt={quote(LONG)}&nodes=1&edges=0.99",
}
REPEATS = 5
SETTLED = "[data-test-script-state=notRunning]"
CARD = """point => {
  const net = CircuitScope.view.canvas(), frame = net.getBoundingClientRect()
  const start = performance.now()
  const at = { clientX: frame.left + point.x, clientY: frame.top + point.y, bubbles: true }
  net.dispatchEvent(new MouseEvent('mousemove', at))
  return new Promise(resolve => requestAnimationFrame(() => setTimeout(() => {
    resolve(CircuitScope.view.hasCard() ? performance.now() - start : Infinity)
  })))
}"""


def first_paint(frame):
    """Return seconds from the arrival of the graph's data to the drawn graph."""
    frame.evaluate("new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)))")
    at = "name => performance.getEntriesByName(name).at(-1).startTime"
    return (frame.evaluate(at, "cs-painted") - frame.evaluate(at, "cs-data")) / 1000


def measure_intervention(page, frame, name):
    """Return seconds from the click on Apply to the graph redrawn with what changed."""
    if frame.evaluate("CircuitScope.view.selected()") != name:
        page.mouse.click(*point_of(frame, name))
    open_tab(frame, "Intervene")
    page.get_by_role("button", name="Apply").wait_for()
    page.wait_for_timeout(2000)
    seen = "() => performance.getEntriesByName('cs-changed').length"
    before = frame.evaluate(seen)
    started = time.perf_counter()
    page.get_by_role("button", name="Apply").click()
    frame.wait_for_function(f"n => ({seen})() > n", arg=before, polling=5)
    seconds = time.perf_counter() - started
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Clear").wait_for(state="detached")
    page.mouse.click(*point_of(frame, name))  # selected no more
    return seconds


def measure_settled(page, frame, name):
    """Return seconds from a click to the end of the page's own answer, the node's heads."""
    page.wait_for_timeout(1500)
    started = time.perf_counter()
    page.mouse.click(*point_of(frame, name))
    page.wait_for_url(lambda address: f"node={name}" in address, wait_until="commit")
    page.locator(SETTLED).first.wait_for(state="attached")
    return time.perf_counter() - started


def measure_pages(page):
    """Return seconds from the click on a link of the menu to the other page, drawn and at rest."""
    times = []
    for title in ("Prompt", "Compare", "Prompt", "Models", "Prompt"):
        page.wait_for_timeout(1500)
        started = time.perf_counter()
        link = page.get_by_test_id("stSidebar").get_by_role("link", name=re.compile(f"{title}$"))
        link.click()
        page.get_by_role("heading", level=1, name=title).wait_for()
        page.locator(SETTLED).first.wait_for(state="attached")
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure_start(browser):
    """Return seconds from the start of a server to the first graph drawn in a browser."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        with server() as url:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            open_graph(page, url)
            times.append(time.perf_counter() - started)
            page.close()
    return statistics.median(times)


def measure_file(browser, url):
    """Return seconds from a click to new lists in a file of 3,000 nodes and 150,000 links."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.json"
        path.write_text(sample_file(3_000, 150_000), encoding="utf-8")
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        open_graph(page, url)
        page.get_by_role("button", name="Open a file").click()
        page.locator("input[type=file]").first.set_input_files(path)
        page.get_by_text("From a file").wait_for(timeout=120_000)
        page.wait_for_timeout(12_000)
        frame = graph_frame(page)
        open_tab(frame, "Connections")
        times = []
        names = [n for n in frame.evaluate("CircuitScope.view.ids()") if n[0].isdigit()]
        for name in names[:: len(names) // REPEATS][:REPEATS]:
            page.wait_for_timeout(1500)
            started = time.perf_counter()
            page.mouse.click(*point_of(frame, name))
            frame.locator(f".cs-panel[data-of='{name}'] .cs-list").first.wait_for()
            times.append(time.perf_counter() - started)
        page.close()
    return statistics.median(times)


def measure(browser, url, address):
    """Open a graph and return its figures."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    traffic = {"sent": 0, "received": 0, "last": 0.0}

    def count(direction):
        def add(payload):
            traffic[direction] += len(payload)
            traffic["last"] = time.perf_counter()

        return add

    def listen(socket):
        socket.on("framesent", count("sent"))
        socket.on("framereceived", count("received"))

    page.on("websocket", listen)
    started = time.perf_counter()
    frame = open_graph(page, url, address)
    opened = time.perf_counter() - started
    page.wait_for_timeout(4000)
    names = frame.evaluate("CircuitScope.view.ids()")
    features = [name for name in names if name[0].isdigit() and "_-1_" not in name][:REPEATS]
    place = "name => CircuitScope.view.place(name)"
    cards = [frame.evaluate(CARD, frame.evaluate(place, name)) for name in features]
    clicks, sent, received = [], [], []
    open_tab(frame, "Connections")
    page.wait_for_timeout(1000)
    for name in features:
        traffic["sent"] = traffic["received"] = 0
        started = time.perf_counter()
        page.mouse.click(*point_of(frame, name))
        frame.locator(f".cs-panel[data-of='{name}'] .cs-list").first.wait_for()
        clicks.append(time.perf_counter() - started)
        page.wait_for_timeout(3000)  # the page's own answer
        sent.append(traffic["sent"])
        received.append(traffic["received"])
    open_tab(frame, "Heads")
    settled = [measure_settled(page, frame, name) for name in features]
    interventions = [measure_intervention(page, frame, name) for name in features]
    edges = frame.evaluate("CircuitScope.view.counts().edges")
    left_out = frame.evaluate("CircuitScope.view.counts().leftOut")
    paint = first_paint(frame)
    page.close()
    return [
        len(names),
        f"{edges:,} ({left_out:,} not drawn)",
        f"{opened:.1f} s",
        f"{paint:.2f} s",
        f"{statistics.median(cards):.0f} ms",
        f"{1000 * statistics.median(clicks):.0f} ms",
        f"{1000 * statistics.median(settled):.0f} ms",
        f"{statistics.median(sent) / 1000:.1f} kB",
        f"{statistics.median(received) / 1000:.1f} kB",
        f"{statistics.median(interventions):.2f} s",
    ]


def main():
    print(
        "| graph | nodes | edges | link to graph | data to paint | card | lists | settled | sent "
        "| received | intervention |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with server() as url, sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.is_file() else None
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        measure(browser, url, "")  # the first visitor loads the model
        for name, address in CASES.items():
            print(
                "|", " | ".join(map(str, [name, *measure(browser, url, address)])), "|", flush=True
            )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        open_graph(page, url)
        print(f"page to page: {measure_pages(page):.2f} s", flush=True)
        page.close()
        seconds = measure_file(browser, url)
        seconds = measure_file(browser, url)
        print(f"file of 150,000 links, click to lists: {seconds:.2f} s", flush=True)
        print(f"start of a server to its first graph: {measure_start(browser):.1f} s")
        browser.close()


if __name__ == "__main__":
    main()
