"""The whole way in a real browser: train on a Parquet file, prompt, graph, click, download."""

import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

import circuitscope_core as cs
from tests.browser.test_graph import graph_frame, open_tab, point_of
from tests.texts import write_parquet

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
WAIT = 90_000
# a width that the heads do not divide comes first, and the heads that do come last: between them
# the page has no sizes that fit together, and times only those that are trained
SIZES = {
    "Width of the residual stream": "16",
    "Layers": "2",
    "Width of the MLP": "32",
    "Features a layer": "64",
    "Tokens to train the model on": "100000",
    "Tokens to train the transcoder on": "50000",
    "Heads": "2",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A models folder of our own, with the demo in it."""
    folder = tmp_path_factory.mktemp("train") / "models"
    shutil.copytree(ROOT / "models" / "demo", folder / "demo")
    return folder


@pytest.fixture(scope="module")
def url(serve, models):
    """The address of a server for that folder; each test trains a model of its own name there."""
    with serve(CIRCUITSCOPE_MODELS=str(models)) as address:
        yield address


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("text") / "mill.parquet", n_documents=1000)


def fill_in(page, source, name, **changes):
    """Answer the Train page's questions for a model of seconds."""
    page.get_by_text("Parquet on this machine").click()
    path = page.get_by_label("File, folder or glob")
    path.fill(source)
    path.press("Enter")
    page.get_by_text("Choose every size").click()
    for label, value in {**SIZES, **changes}.items():
        field = page.get_by_label(label, exact=True)
        expect(field).to_be_visible(timeout=WAIT)
        field.fill(value)
        field.press("Enter")
    place = page.get_by_label("Name of the model")
    place.fill(name)
    place.press("Enter")
    expect(page.get_by_text(re.compile(r"about \d+ (s|min)")).first).to_be_visible(timeout=WAIT)


def start(page):
    """Press Train once every answer has arrived."""
    button = page.get_by_role("button", name="Train", exact=True)
    expect(button).to_be_enabled(timeout=WAIT)
    page.wait_for_timeout(1500)  # the last answer may still be on its way
    button.click()


def test_train_prompt_graph_hover_click_download(url, source, page, models):
    page.goto(f"{url}/train")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible(timeout=WAIT)
    fill_in(page, source, "mill")
    start(page)
    expect(page.get_by_text("“mill” is being trained")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("“mill” is trained.")).to_be_visible(timeout=WAIT)
    assert cs.load_bundle(models / "mill").metadata.name == "mill"

    page.goto(f"{url}/prompt?model=mill&prompt=The%20mill%20was")
    expect(page.get_by_text("Most likely next")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Build the graph").click()
    expect(page.get_by_text("The graph is ready")).to_be_visible(timeout=WAIT)
    page.get_by_role("link", name="Show the graph").click()

    frame = graph_frame(page)
    name = next(n for n in frame.evaluate("CircuitScope.view.ids()") if n.startswith("E_"))
    frame.wait_for_function(
        "name => Number.isFinite(CircuitScope.view.place(name).x)", arg=name, timeout=WAIT
    )
    page.mouse.move(*point_of(frame, name))
    expect(frame.locator(".cs-panel")).to_have_attribute("data-of", name)
    page.mouse.click(*point_of(frame, name))
    open_tab(frame, "Connections")
    expect(frame.locator(".cs-panel")).to_contain_text("Outputs (")

    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Graph JSON").click()
    graph = json.loads(Path(download.value.path()).read_text())
    assert graph["metadata"]["prompt"] == "The mill was"


def test_a_reload_loses_nothing_and_cancel_can_be_resumed(url, source, page, models):
    page.goto(f"{url}/train")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible(timeout=WAIT)
    fill_in(page, source, "long", **{"Tokens to train the model on": "3000000"})
    start(page)
    expect(page.get_by_text(re.compile(r"step \d[\d,]* of .* tokens a second"))).to_be_visible(
        timeout=WAIT
    )
    page.reload()
    expect(page.get_by_text("“long” is being trained")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("“long” is not finished")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("Stopped on request")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("“long” is being trained")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("“long” is not finished")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_visible(timeout=WAIT)
    assert not (models / "long").exists()
