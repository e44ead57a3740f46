"""Take the pictures of the app, every panel, light and dark, in a real browser.

Usage: python docs/take_pictures.py [--smollm2 FOLDER] [--only PART]

The picture of a real model needs the folder of SmolLM2-135M-Instruct.
"""

import argparse
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlencode

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from pages.ui.shared.address import write_subgraph
from pages.ui.shared.state import State, Step
from tests.browser.conftest import CHROMIUM, FLAGS, server
from tests.browser.test_graph import first_feature, graph_frame, open_tab, point_of
from tests.demo import kept_features, skill_that_turns
from tests.snowflake.settings import write_settings
from tests.snowflake.stage_server import stage_server
from tests.texts import write_parquet

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs"
WAIT = 60_000
ANSWER = "DAG)"
NAMES = (
    *("home", "train", "models", "prompt", "graph", "compare", "gallery"),
    *(
        "card",
        "feature",
        "supernodes",
        "pinned",
        "check",
        "heads",
        "tour",
        "table",
        "views",
        "file",
    ),
    *("intervene", "debug", "trust", "stage", "neurons"),
    *("opening-1440", "opening-1024", "opening-390"),
)
"""In the order in which they are taken; ``docs/interface.md`` shows them all."""


def settle(page, seconds=1.5):
    """Wait until nothing runs any more, and a little longer."""
    page.wait_for_timeout(500)
    page.locator("[data-test-script-state=notRunning]").first.wait_for(timeout=WAIT)
    page.wait_for_timeout(1000 * seconds)


def take(page, name, theme):
    page.screenshot(path=FOLDER / f"{name}-{theme}.png")
    print(f"{name}-{theme}.png", flush=True)


def take_pages(page, url, theme):
    """Take every page, the graph with the whole answer."""
    page.goto(url)
    page.get_by_role("button", name="Show the demo graph").wait_for(timeout=WAIT)
    settle(page)
    take(page, "home", theme)
    page.goto(f"{url}/train")
    page.get_by_text("Time on this machine").wait_for(timeout=WAIT)
    settle(page)
    take(page, "train", theme)
    page.goto(f"{url}/models")
    page.get_by_role("button", name="Add the model").wait_for(timeout=WAIT)
    settle(page)
    take(page, "models", theme)
    page.goto(f"{url}/prompt")
    page.get_by_role("button", name="Build the graph").click()
    page.get_by_text("The graph is ready").wait_for(timeout=WAIT)
    settle(page)
    take(page, "prompt", theme)
    open_graph(page, url, f"?{urlencode({'target': 'answer', 'answer': ANSWER}, quote_via=quote)}")
    page.mouse.move(5, 5)
    settle(page)
    take(page, "graph", theme)
    page.goto(f"{url}/compare")
    frame = graph_frame(page)
    frame.locator(".cs").first.scroll_into_view_if_needed()
    settle(page)
    take(page, "compare", theme)
    page.goto(f"{url}/gallery")
    page.get_by_role("button", name="Open the graph").last.wait_for(timeout=WAIT)
    settle(page)
    take(page, "gallery", theme)


def open_graph(page, url, address=""):
    page.goto(f"{url}/graph{address}")
    frame = graph_frame(page)
    settle(page)
    return frame


def take_canvas(page, url, theme):
    """Take what the canvas shows: card, feature, supernodes, pinned nodes, tour."""
    frame = open_graph(page, url)
    name = first_feature(frame)
    page.mouse.move(*point_of(frame, name))
    settle(page, 0.5)
    take(page, "card", theme)
    page.mouse.click(*point_of(frame, name))
    page.mouse.move(5, 5)
    open_tab(frame, "Connections")
    settle(page)
    take(page, "feature", theme)
    open_graph(page, url, "?view=groups")
    take(page, "supernodes", theme)
    pin_strongest(page, open_graph(page, url))
    page.mouse.move(5, 5)
    settle(page)
    take(page, "pinned", theme)
    frame = open_graph(page, url)
    frame.get_by_role("button", name="Check it").click()
    settle(page, 2)
    take(page, "check", theme)
    frame.get_by_role("button", name="Check it").click()
    frame.get_by_role("button", name="Tour").click()
    frame.get_by_role("button", name="Next", exact=True).click()
    frame.get_by_role("button", name="Next", exact=True).click()
    settle(page)
    take(page, "tour", theme)


def take_openings(browser, url, theme):
    """Take the screen that a graph opens with, on a desk, a tablet and a telephone."""
    for width, height in ((1440, 900), (1024, 768), (390, 844)):
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        open_graph(page, url)
        take(page, f"opening-{width}", theme)
        page.close()


def pin_strongest(page, frame):
    """Pin some features and the tokens of the name."""
    names = frame.evaluate("CircuitScope.view.ids()")
    features = [name for name in names if name[0] in "012"][-5:]
    tokens = [name for name in names if name.startswith("E_")][-2:]
    page.keyboard.down("Control")
    for name in (*features, *tokens):
        page.mouse.click(*point_of(frame, name))
    page.keyboard.up("Control")


def take_beside(page, url, theme):
    """Take what stands beside the canvas and above it: heads, table, views, a file."""
    frame = open_graph(page, url)
    open_tab(frame, "Heads")
    page.get_by_role("heading", name="Inside the edge").wait_for(timeout=WAIT)
    settle(page)
    take(page, "heads", theme)
    open_tab(frame, "Table")
    page.get_by_text("Sorted by the bits").wait_for(timeout=WAIT)
    settle(page)
    take(page, "table", theme)
    open_graph(page, url)
    page.get_by_role("button", name="Views").click()
    settle(page)
    take(page, "views", theme)
    take_file(page, url, theme)


def take_interventions(page, url, theme):
    """Take the acronym story: the first letter's feature switched off, and a failure debugged."""
    subgraph = write_subgraph(State(steps=(Step(kept_features(2), "ablate"),)))
    open_graph(page, url, f"?view=groups&tab=intervene&subgraph={subgraph}")
    page.get_by_text("The last change at other strengths").wait_for(timeout=WAIT)
    settle(page)
    take(page, "intervene", theme)
    page.goto(f"{url}/debug")
    page.get_by_text("What pushes").wait_for(timeout=WAIT)
    page.get_by_role("combobox", name="Skill").click()
    page.get_by_role("option", name=skill_that_turns().capitalize()).click()
    page.get_by_text("Where it fires most").first.wait_for(timeout=WAIT)
    settle(page, 3)
    take(page, "debug", theme)
    page.goto(url)
    page.get_by_role("button", name="Measure").click()
    page.get_by_text("largest error of").wait_for(timeout=WAIT)
    page.get_by_text("largest error of").scroll_into_view_if_needed()
    settle(page)
    take(page, "trust", theme)


def take_stage(browser, theme):
    """Take the Train page on a stage, which a server on this machine offers to the real client."""
    with ExitStack() as stack:
        home, models, account = (
            Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3)
        )
        snowflake = stack.enter_context(stage_server(account))
        pile = snowflake.account.make_stage("CIRCUITSCOPE", "APP", "PILE")
        snowflake.account.make_stage("CIRCUITSCOPE", "APP", "MODELS")
        write_parquet(pile / "train-00000.parquet", n_documents=4000)
        shutil.copytree(ROOT / "models" / "demo", models / "demo")
        settings = write_settings(home, snowflake.settings(account="example"))
        url = stack.enter_context(server(CIRCUITSCOPE_MODELS=str(models), **settings))
        page = browser.new_page(viewport={"width": 1440, "height": 1150}, color_scheme=theme)
        page.goto(f"{url}/train")
        page.get_by_text("Snowflake stage").click()
        page.get_by_text("Show the first rows").click(timeout=WAIT)
        page.get_by_text("rows; the first ones").wait_for(timeout=WAIT)
        settle(page)
        take(page, "stage", theme)
        page.close()


def take_file(page, url, theme):
    """Take a graph that was downloaded and opened again."""
    open_graph(page, url)
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as caught:
        page.get_by_role("button", name="Graph JSON").click()
    path = Path(caught.value.path()).with_name(caught.value.suggested_filename)
    caught.value.save_as(path)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Open a file").click()
    page.locator("input[type=file]").first.set_input_files(path)
    page.get_by_text("From a file").wait_for(timeout=WAIT)
    settle(page, 3)
    take(page, "file", theme)


def take_real_model(browser, folder, theme):
    """Take the graph of a real model's own neurons."""
    address = {
        "model": "SmolLM2-135M",
        "prompt": "The capital of France is",
        "against": "The capital of Japan is",
        "target": "difference",
        "tokens": " Paris",
        "minus": " Tokyo",
        "nodes": "0.35",
        "view": "groups",
        "tab": "intervene",
    }
    with tempfile.TemporaryDirectory() as models:
        cs.add_model(folder, "SmolLM2-135M", models=models)
        with server(CIRCUITSCOPE_MODELS=models) as url:
            page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=theme)
            page.goto(f"{url}/graph?{urlencode(address, quote_via=quote)}")
            page.get_by_text("Do these neurons make the answer?").click(timeout=WAIT)
            settle(page, 3)
            take(page, "neurons", theme)
            page.close()


PARTS = ("neurons", "pages", "canvas", "beside", "interventions", "stage", "openings")


def take_part(part, browser, url, theme, smollm2):
    """Take the pictures of one part of the app."""
    if part == "openings":
        take_openings(browser, url, theme)
    elif part == "stage":
        take_stage(browser, theme)
    elif part == "neurons":
        if smollm2:
            take_real_model(browser, smollm2, theme)
    else:
        page = browser.new_page(
            viewport={"width": 1440, "height": 900}, color_scheme=theme, accept_downloads=True
        )
        takes = {
            "pages": take_pages,
            "canvas": take_canvas,
            "beside": take_beside,
            "interventions": take_interventions,
        }
        takes[part](page, url, theme)
        page.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smollm2", type=Path)
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    with server() as url, sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.is_file() else None
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for theme in ("light", "dark"):
            for part in options.only or PARTS:
                take_part(part, browser, url, theme, options.smollm2)
        browser.close()


if __name__ == "__main__":
    main()
