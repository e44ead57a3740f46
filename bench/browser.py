"""How long the graph takes in a browser: first paint, card, lists, an intervention, and what a
click sends.

Usage: python bench/browser.py
"""

import statistics
import sys
import time
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.browser.conftest import CHROMIUM, FLAGS, server
from tests.browser.test_graph import open_graph, point_of

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
    page.mouse.click(*point_of(frame, name))
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
    for name in features:
        traffic["sent"] = traffic["received"] = 0
        started = time.perf_counter()
        page.mouse.click(*point_of(frame, name))
        frame.locator(".cs-panel .cs-list").first.wait_for()
        clicks.append(time.perf_counter() - started)
        page.wait_for_timeout(3000)  # the page's own answer below the canvas
        sent.append(traffic["sent"])
        received.append(traffic["received"])
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
        f"{statistics.median(sent) / 1000:.1f} kB",
        f"{statistics.median(received) / 1000:.1f} kB",
        f"{statistics.median(interventions):.2f} s",
    ]


def main():
    print(
        "| graph | nodes | edges | link to graph | data to paint | card | lists | sent | received "
        "| intervention |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with server() as url, sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.is_file() else None
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        measure(browser, url, "")  # the first visitor loads the model
        for name, address in CASES.items():
            print(
                "|", " | ".join(map(str, [name, *measure(browser, url, address)])), "|", flush=True
            )
        browser.close()


if __name__ == "__main__":
    main()
