"""Foreign text and foreign rules: nothing that is typed, linked or labelled may run."""

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.test_graph import WAIT, download, first_feature, open_graph, open_tab, point_of

pytestmark = pytest.mark.browser
PLANTED = "<img src=x onerror='top.planted=1;planted=1'><script>top.planted=1;planted=1</script>"
HOSTILE = f"\u202e{PLANTED}\U0001f600"
SNOWFLAKE = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws:; frame-src 'self';"
    " worker-src blob:; media-src 'self'; manifest-src 'self'"
)
"""Scripts from the app's own server only, and none made of text, as Snowflake has it."""


@pytest.fixture
def labelled(tmp_path):
    """A folder of models in which a stranger named every feature of the demo."""
    models = Path(__file__).parents[2] / "models"
    shutil.copytree(models / "demo", tmp_path / "demo")
    (tmp_path / ".notes").mkdir()
    labels = [[layer, feature, HOSTILE] for layer in range(3) for feature in range(2048)]
    notes = {"format_version": 1, "labels": labels, "views": {HOSTILE: {"prompt": HOSTILE}}}
    (tmp_path / ".notes" / "demo.json").write_text(json.dumps(notes))
    return tmp_path


def assert_nothing_ran(page):
    assert [frame.evaluate("'planted' in globalThis") for frame in page.frames] == [False] * len(
        page.frames
    )


def assert_files_run_nothing(page, folder, files):
    """Open files by their names, as somebody would who was sent them."""
    for name, path in files.items():
        (folder / name).write_bytes(path.read_bytes())
        page.goto((folder / name).as_uri())
        page.wait_for_timeout(300)
        assert_nothing_ran(page)


def test_nothing_planted_runs_in_page_card_table_or_downloads(serve, labelled, page, tmp_path):
    prompt = HOSTILE[:60]
    with serve(CIRCUITSCOPE_MODELS=str(labelled)) as url:
        frame = open_graph(page, url, f"?prompt={quote(prompt)}&nodes=0.9&minus={quote(PLANTED)}")
        name = first_feature(frame)
        page.mouse.move(*point_of(frame, name))
        page.mouse.click(*point_of(frame, name))
        expect(frame.locator(".cs-panel")).to_contain_text("<script>")
        open_tab(frame, "Table")
        expect(page.get_by_text("Sorted by the bits")).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Views").click()
        expect(page.get_by_role("button", name="<img src=x").first).to_be_visible(timeout=WAIT)
        page.keyboard.press("Escape")
        page.get_by_text("Download", exact=True).click()
        files = {"graph.html": download(page, "Standalone page")}
        page.keyboard.press("Escape")
        files["graph.svg"] = download(frame, "SVG", page)
        assert_nothing_ran(page)
        assert_files_run_nothing(page, tmp_path, files)


@pytest.mark.parametrize(
    "address",
    [
        "?prompt=" + quote("a\x00b" + "\U0001f600" * 3),
        "?prompt=" + "x" * 20_000,
        "?prompt=x&node=" + quote(HOSTILE) + "&view=" + quote(HOSTILE),
        "?prompt=x&subgraph=1." + "A" * 5_000,
        "?model=" + quote(HOSTILE),
        "?target=feature&feature=" + quote(HOSTILE),
    ],
)
def test_a_hostile_address_is_shown_as_text_or_refused(url, page, address):
    page.goto(f"{url}/graph{address}")
    expect(page.get_by_role("heading", name="Graph", exact=True)).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(2500)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert_nothing_ran(page)


def test_the_app_works_where_no_script_may_be_made_of_text(url, page):
    def answer(route):
        response = route.fetch()
        headers = {**response.headers, "content-security-policy": SNOWFLAKE}
        route.fulfill(response=response, headers=headers)

    page.route("**/*", lambda route: answer(route) if is_page(route) else route.continue_())
    frame = open_graph(page, url)
    page.mouse.click(*point_of(frame, first_feature(frame)))
    open_tab(frame, "Connections")
    expect(frame.locator(".cs-panel")).to_contain_text("Inputs (")
    open_tab(frame, "Intervene")
    expect(page.get_by_role("button", name="Apply")).to_be_visible(timeout=WAIT)


def is_page(route):
    return route.request.resource_type == "document"
