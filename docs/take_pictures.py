"""Take the README's pictures of the app, light and dark, in a real browser.

Usage: python docs/take_pictures.py
"""

import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PORT = 8597
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT = 60_000


def start_app():
    flags = ["--server.headless=true", f"--server.port={PORT}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", *flags], cwd=ROOT
    )
    for _ in range(150):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_stcore/health").close()
            return process
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the app did not start")


def open_page(page, title):
    """Choose a page in the menu, so that the menu has its proper names."""
    page.get_by_test_id("stSidebar").get_by_role("link", name=title).click()
    page.wait_for_timeout(3000)


def take(browser, theme):
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme=theme, device_scale_factor=1
    )
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{PORT}/")
    page.get_by_role("button", name="Show the demo graph").wait_for(timeout=WAIT)
    page.wait_for_timeout(1500)
    page.screenshot(path=ROOT / f"docs/home-{theme}.png")
    open_page(page, "Train")
    page.get_by_text("Time on this machine").wait_for(timeout=WAIT)
    page.wait_for_timeout(1500)
    page.screenshot(path=ROOT / f"docs/train-{theme}.png")
    open_page(page, "Prompt")
    page.get_by_role("button", name="Build the graph").click()
    page.get_by_text("The graph is ready").wait_for(timeout=WAIT)
    page.wait_for_timeout(1500)
    page.screenshot(path=ROOT / f"docs/prompt-{theme}.png")
    open_page(page, "Graph")
    canvas = page.frame_locator("iframe[title*=circuitscope_graph]")
    canvas.locator("[data-ready=true]").wait_for(timeout=WAIT)
    page.wait_for_timeout(1500)
    frame = next(frame for frame in page.frames if "circuitscope_graph" in frame.url)
    names = frame.evaluate("CircuitScope.view.ids()")
    logit = next(name for name in names if name.startswith("4_"))
    box = canvas.locator(".cs-net").bounding_box()
    place = frame.evaluate("name => CircuitScope.view.place(name)", logit)
    page.mouse.click(box["x"] + place["x"], box["y"] + place["y"])
    page.wait_for_timeout(1500)
    page.mouse.move(box["x"] + 5, box["y"] - 40)
    page.wait_for_timeout(800)
    page.screenshot(path=ROOT / f"docs/graph-{theme}.png")
    context.close()


def main():
    app = start_app()
    try:
        with sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            for theme in ("light", "dark"):
                take(browser, theme)
            browser.close()
    finally:
        app.terminate()


if __name__ == "__main__":
    main()
