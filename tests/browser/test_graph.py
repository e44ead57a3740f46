"""The graph in a real browser: what AppTest cannot see."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.waiting import WAIT, rest, slide

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
ALL_ALONE = "similarity=1&likeness=decoders"
"""Part of an address: no supernode is suggested."""
SVG = "{http://www.w3.org/2000/svg}"
PAINTED = """() => {
  const canvas = globalThis.CircuitScope && CircuitScope.view && CircuitScope.view.canvas()
  if (!canvas) return 0
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  return new Set(new Uint32Array(data.buffer)).size
}"""
"""The number of colours on the canvas."""


IS_DARK = """() => {
  const color = getComputedStyle(document.querySelector('.stApp')).backgroundColor
  return color.match(/\\d+/g).slice(0, 3).every(part => part < 128)
}"""


def open_graph(page, url, address=""):
    """Open the Graph page by its link and return the frame with the canvas; see ``graph_frame``."""
    page.goto(f"{url}/graph{address}")
    return graph_frame(page)


def graph_frame(page):
    """Return the frame in which the canvas is drawn: one of its own, or the page itself."""
    own = page.locator("iframe[title*=circuitscope_graph]")
    own.or_(page.locator(".cs[data-ready=true]")).first.wait_for(timeout=WAIT)
    frame = page.main_frame
    if own.count():
        own.content_frame.locator("[data-ready=true]").wait_for(timeout=WAIT)
        frame = next(frame for frame in page.frames if "circuitscope_graph" in frame.url)
    frame.wait_for_function(f"({PAINTED})() > 8", timeout=WAIT)
    return frame


def drawn_anew(page):
    """Return the frame after a run of the whole page, in which older versions make a new one."""
    page.wait_for_timeout(3000)
    return graph_frame(page)


def subgraph_in(address):
    """Return the part of an address that says which supernodes were made by hand, or None."""
    return parse_qs(urlsplit(address).query).get("subgraph")


def features(frame):
    """Return the ids of the drawn features."""
    names = frame.evaluate("CircuitScope.view.ids()")
    return [n for n in names if n[0].isdigit() and not n.startswith("4_") and "_-1_" not in n]


def first_feature(frame):
    """Return the id of the first drawn feature."""
    return features(frame)[0]


def point_of(frame, name):
    """Return where a node is on the screen."""
    net = frame.locator(".cs-net")
    expect(net).to_have_count(1, timeout=WAIT)  # the canvas before it may still be going away
    box = net.bounding_box()
    place = frame.evaluate("name => CircuitScope.view.place(name)", name)
    return box["x"] + place["x"], box["y"] + place["y"]


def text_top(element):
    """Return where the first line of an element's text begins on the screen."""
    return element.evaluate("""element => {
      const range = document.createRange()
      range.selectNodeContents(element)
      const frame = window.frameElement
      return range.getBoundingClientRect().top + (frame ? frame.getBoundingClientRect().top : 0)
    }""")


def open_tab(frame, name):
    """Open a tab of the column beside the graph."""
    frame.get_by_role("tab", name=name, exact=True).click()


def check_hover_and_click(page, frame):
    """Point at a feature, click it, and find its card and its lists."""
    name = first_feature(frame)
    page.mouse.move(*point_of(frame, name))
    panel = frame.locator(".cs-panel")
    expect(panel).to_have_attribute("data-of", name)
    expect(panel).to_contain_text("Activation")
    expect(frame.locator(".cs-status")).to_contain_text("layer")
    scale = frame.evaluate("CircuitScope.view.scale()")
    page.mouse.click(*point_of(frame, name))
    open_tab(frame, "Connections")
    expect(panel).to_contain_text("Inputs (")
    expect(panel).to_contain_text("Outputs (")
    assert panel.locator(".cs-row").count() > 0
    expect(panel.locator(".cs-row-number").first).to_have_text(re.compile(r"^[+−]\d"))
    assert frame.evaluate("CircuitScope.view.scale()") == scale
    return name


@pytest.fixture(scope="module")
def noted_url(serve, tmp_path_factory):
    """The address of a server whose visitors may leave notes: its demo is a copy."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "models" / "demo", folder / "demo")
    with serve(CIRCUITSCOPE_MODELS=str(folder)) as address:
        yield address


def test_the_first_visitor_may_open_the_graph_by_its_link(fresh_url, page):
    frame = open_graph(page, fresh_url)
    name = check_hover_and_click(page, frame)
    expect(page).to_have_url(re.compile(f"node={name}"), timeout=WAIT)


@pytest.mark.parametrize("kind", ["page", "frame"])
def test_both_kinds_of_component_answer_and_keep_their_view(serve, page, kind):
    with serve(CIRCUITSCOPE_COMPONENTS=kind) as url:
        frame = open_graph(page, url)
        assert (frame == page.main_frame) == (kind == "page")
        name = check_hover_and_click(page, frame)
        expect(page).to_have_url(re.compile(f"node={name}"), timeout=WAIT)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(1000)  # newer versions follow the system at once, older ones do not
        theme = "dark" if page.evaluate(IS_DARK) else "light"
        expect(frame.locator(".cs").first).to_have_attribute("data-theme", theme)
        expect(frame.locator(".cs-panel").get_by_text("Inputs (")).to_be_visible()


def test_an_address_with_a_node_opens_it_selected(url, page):
    frame = open_graph(page, url)
    name = first_feature(frame)
    again = open_graph(page, url, f"?node={name}&tab=links")
    expect(again.locator(".cs-panel")).to_contain_text("Outputs (")


def test_supernodes_search_and_paths(url, page):
    frame = open_graph(page, url)
    frame.locator(".cs-search").fill("error at")
    expect(frame.locator(".cs-found")).to_contain_text("found")
    frame.locator(".cs-search").fill("")
    frame.locator(".cs-path").first.click()
    expect(frame.locator(".cs-path").first).to_have_attribute("aria-pressed", "true")
    frame.get_by_role("button", name="Supernodes").click()
    frame.wait_for_function(f"({PAINTED})() > 8")
    expect(page).to_have_url(re.compile("view=groups"), timeout=WAIT)


def select_with_inputs(frame):
    """Return the id of the output node, which is selected from the start, with its lists open."""
    name = next(n for n in frame.evaluate("CircuitScope.view.ids()") if n.startswith("4_"))
    expect(frame.locator(".cs-panel")).to_have_attribute("data-of", name)
    open_tab(frame, "Connections")
    expect(frame.locator(".cs-panel")).to_contain_text("Inputs (")
    return name


def test_the_heads_of_an_edge_are_a_click_in_the_list_away(url, page):
    frame = open_graph(page, url)
    select_with_inputs(frame)
    # an edge from another token: heads must have carried it
    item = frame.locator(".cs-item", has_text="←").first
    button = item.get_by_role("button", name="heads of the edge")
    button.click()
    heading = page.get_by_role("heading", name="Inside the edge")
    heading.wait_for(timeout=WAIT)
    chart = page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")
    expect(chart.first).to_be_visible(timeout=WAIT)
    open_tab(frame, "Connections")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(heading).to_have_count(0, timeout=WAIT)


def test_a_click_on_an_edge_itself_opens_it(url, page):
    frame = open_graph(page, url)
    name = select_with_inputs(frame)
    frame.locator(".cs-row").first.hover()  # names the strongest input
    other = frame.evaluate("CircuitScope.view.hovered()")
    (x, y), (to_x, to_y) = point_of(frame, name), point_of(frame, other)
    page.mouse.click((x + to_x) / 2, (y + to_y) / 2)
    page.get_by_role("heading", name="Inside the edge").wait_for(timeout=WAIT)
    open_tab(frame, "Connections")
    expect(frame.locator(".cs-why[aria-pressed=true]")).to_have_count(1)


def test_a_changed_threshold_draws_another_graph(url, page):
    frame = open_graph(page, url)
    before = len(frame.evaluate("CircuitScope.view.ids()"))
    page.get_by_role("button", name="Thresholds").click()
    slide(page.get_by_role("slider", name="Node score kept"), "ArrowLeft", until="0.60")
    expect(page).to_have_url(re.compile("nodes=0.6(&|$)"), timeout=WAIT)
    frame = drawn_anew(page)
    frame.wait_for_function(f"CircuitScope.view.ids().length < {before}", timeout=WAIT)


def download(place, label, page=None):
    """Press a button of a page, or of a frame in one, and return the file that comes."""
    rest(page or place)  # a run of the page takes the files of its buttons away
    with (page or place).expect_download() as caught:
        place.get_by_role("button", name=label).click()
    return caught.value.path()


def test_downloads_hold_the_graph_and_the_page_works_without_a_network(
    url, page, context, tmp_path
):
    open_graph(page, url)
    page.get_by_text("Download", exact=True).click()
    data = json.loads(download(page, "Graph JSON").read_text())
    assert data["metadata"]["schema_version"] == 1
    assert data["nodes"]
    saved = tmp_path / "graph.html"
    saved.write_bytes(download(page, "Standalone page").read_bytes())
    context.set_offline(True)
    page.goto(saved.as_uri())
    page.wait_for_selector("[data-ready=true]")
    assert page.evaluate(PAINTED) > 8
    check_hover_and_click(page, page.main_frame)


def test_the_picture_is_saved_as_it_is_seen(url, page, tmp_path):
    frame = open_graph(page, url)
    name = select_with_inputs(frame)
    png = download(frame, "PNG", page).read_bytes()
    assert png.startswith(b"\x89PNG")
    text = download(frame, "SVG", page).read_text(encoding="utf-8")
    drawing = ET.fromstring(text)
    assert drawing.find(f"{SVG}title").text == "The National Digital Analytics Group (N"
    colors = [path.get("stroke") for path in drawing.iter(f"{SVG}path")]
    assert "#d6009a" in colors  # the selected node's outline
    n_inputs = frame.locator(".cs-list").first.locator(".cs-row").count()
    assert name.startswith("4_")
    edges = [
        path
        for path in drawing.iter(f"{SVG}path")
        if path.get("opacity") == "0.9" and path.get("fill") == "none"
    ]
    assert len(edges) >= n_inputs > 0
    shown = tmp_path / "picture.svg"
    shown.write_text(text, encoding="utf-8")
    page.goto(shown.as_uri())
    assert page.locator("svg").bounding_box()["width"] > 300


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_canvas_follows_the_theme(url, page, scheme):
    page.emulate_media(color_scheme=scheme)
    frame = open_graph(page, url)
    assert frame.locator(".cs").get_attribute("data-theme") == scheme


def test_supernodes_are_made_named_and_undone_in_the_canvas(url, page):
    frame = open_graph(page, url, f"?view=groups&{ALL_ALONE}")
    names = [n for n in frame.evaluate("CircuitScope.view.ids()") if n.startswith("E_")][5:8]
    frame.locator(".cs").focus()
    page.keyboard.down("g")
    for name in names:
        page.mouse.click(*point_of(frame, name))
    expect(frame.get_by_role("button", name="Cancel (3 chosen)")).to_be_visible()
    page.keyboard.up("g")
    name = frame.get_by_label("Name of the supernode")
    expect(name).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile("subgraph=1"), timeout=WAIT)
    unnamed = subgraph_in(page.url)
    name.fill("my <b>word</b>")
    name.press("Enter")
    expect(frame.locator(".cs-panel .cs-title")).to_have_text("my <b>word</b>", timeout=WAIT)
    # The address is told of the name on its own way, which may take longer than the canvas's.
    page.wait_for_url(lambda address: subgraph_in(address) != unnamed, timeout=WAIT)
    address = page.url.split("/graph")[1]
    again = open_graph(page, url, address)
    expect(again.locator(".cs-panel .cs-title")).to_have_text("my <b>word</b>", timeout=WAIT)
    again.get_by_role("button", name="Ungroup").click()
    again.wait_for_function("CircuitScope.view.ids().every(id => !id.startsWith('group'))")
    again.get_by_role("button", name="Undo").click()
    again.wait_for_function("CircuitScope.view.ids().some(id => id.startsWith('group'))")


def test_what_is_pinned_has_a_view_and_scores_of_its_own(url, page):
    frame = open_graph(page, url, f"?{ALL_ALONE}")
    show_pinned = frame.get_by_role("button", name="Pinned", exact=True)
    show_pinned.click()
    empty = frame.locator(".cs-empty")
    expect(empty).to_contain_text("Nothing is pinned yet")
    for name in frame.evaluate("CircuitScope.view.ids()"):  # the outputs are there all the same
        assert point_of(frame, name)[1] + 40 < text_top(empty)
    frame.get_by_role("button", name="All nodes").click()
    name = first_feature(frame)
    page.keyboard.down("Control")
    page.mouse.click(*point_of(frame, name))
    page.keyboard.up("Control")
    said = frame.locator(".cs-strip-said")
    expect(said).to_contain_text("1 node · Replacement score", timeout=WAIT)
    expect(frame.get_by_role("img", name="Pinned subgraph of 2 nodes")).to_be_visible()
    show_pinned.click()
    frame.wait_for_function(f"CircuitScope.view.ids().includes('{name}')")
    assert len(frame.evaluate("CircuitScope.view.ids()")) == 2
    x, y = point_of(frame, name)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y + 10, steps=4)
    page.mouse.up()
    moved = point_of(frame, name)
    assert moved[0] < x - 30
    assert moved[1] == pytest.approx(y, abs=2)  # a tile stays on its layer
    frame.get_by_role("button", name="All nodes").click()
    show_pinned.click()
    assert point_of(frame, name) == pytest.approx(moved, abs=2)


def test_errors_and_common_features_can_be_hidden(url, page):
    frame = open_graph(page, url, "?nodes=0.95")
    before = frame.evaluate("CircuitScope.view.ids()")
    frame.get_by_text("Show", exact=True).click()
    frame.get_by_label("Features that fire on at most").select_option("0.001")
    expect(frame.locator(".cs-filter-box .cs-note")).to_contain_text("nodes are hidden")
    assert len(frame.evaluate("CircuitScope.view.ids()")) < len(before)


def test_the_strongest_way_through_a_node_leads_to_an_output(url, page):
    frame = open_graph(page, url)
    page.mouse.click(*point_of(frame, first_feature(frame)))
    open_tab(frame, "Connections")
    frame.get_by_role("button", name="Strongest way through here").click()
    expect(frame.locator(".cs-live")).to_contain_text("Strongest way: ")


def test_a_feature_named_in_the_canvas_keeps_its_name_and_can_be_tried(noted_url, page):
    frame = open_graph(page, noted_url)
    page.mouse.click(*point_of(frame, first_feature(frame)))
    expect(frame.locator(".cs-panel .cs-badge")).to_have_text("automatic")
    frame.get_by_role("button", name="Edit label").click()
    frame.get_by_label("Label of the feature").fill("a <i>name</i>")
    frame.get_by_label("Label of the feature").press("Enter")
    frame = drawn_anew(page)
    expect(frame.locator(".cs-panel .cs-badge")).to_have_text("named by a person", timeout=WAIT)
    expect(frame.locator(".cs-panel .cs-title")).to_contain_text("a <i>name</i>")
    open_tab(frame, "Intervene")
    rest(page)  # a run of the page would fold it again
    page.get_by_text("Try it on your text").click()
    page.get_by_role("textbox", name="Your text").fill("Group (N")
    page.get_by_role("textbox", name="Your text").press("Enter")
    expect(page.get_by_text("It fires on")).to_be_visible(timeout=WAIT)
    open_tab(frame, "Table")
    page.get_by_text("Similar to feature").click()
    expect(page.get_by_text("By the cosine of their decoder vectors")).to_be_visible()


def test_a_view_is_kept_under_a_name_and_opened_again(noted_url, page):
    frame = open_graph(page, noted_url, "?nodes=0.6")
    name = first_feature(frame)
    page.keyboard.down("Control")
    page.mouse.click(*point_of(frame, name))
    page.keyboard.up("Control")
    expect(page).to_have_url(re.compile("subgraph=1"), timeout=WAIT)
    page.get_by_role("button", name="Views").click()
    page.get_by_role("textbox", name="Name").fill("mine")
    page.get_by_role("button", name="Keep this view").click()
    expect(page.get_by_text("Kept as")).to_be_visible(timeout=WAIT)
    frame = open_graph(page, noted_url)
    page.get_by_role("button", name="Views").click()
    page.get_by_role("button", name="mine", exact=True).click()
    expect(page).to_have_url(re.compile("nodes=0.6.*subgraph=1"), timeout=WAIT)
    frame.wait_for_function(f"CircuitScope.view.pinned().includes('{name}')", timeout=WAIT)


def test_the_tour_leads_through_the_graph(url, page):
    frame = open_graph(page, url)
    frame.get_by_role("button", name="Tour").first.click()
    tour = frame.get_by_role("dialog", name="Tour of the graph")
    for step in range(1, 7):
        expect(tour).to_contain_text(f"{step} of 6")
        tour.get_by_role("button", name="Done" if step == 6 else "Next").click()
    expect(tour).to_be_hidden()
