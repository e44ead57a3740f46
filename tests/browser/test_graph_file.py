"""Graph files in a real browser: opened, refused, and full of foreign text."""

import json
from contextlib import suppress

import pytest
from playwright.sync_api import Error, expect

from circuitscope_core.export import graph_to_json
from circuitscope_core.pruning import prune_graph
from circuitscope_core.supernodes import cluster_features
from tests.browser.test_graph import WAIT, download, open_graph, open_tab, point_of
from tests.browser.test_hostile import HOSTILE, assert_files_run_nothing, assert_nothing_ran
from tests.browser.waiting import slide
from tests.unit.graph_samples import Decoders, sample_graph

pytestmark = pytest.mark.browser
LONG = "z" * 100_000


@pytest.fixture(scope="module")
def exported():
    """A file of our own code for a graph with supernodes."""
    pruned = prune_graph(sample_graph("cat (N"))
    groups = cluster_features(pruned, Decoders())
    assert groups.merged
    return graph_to_json(pruned, supernodes=groups)


@pytest.fixture
def hostile(exported):
    """The same with every text in it from a stranger."""
    data = json.loads(json.dumps(exported))
    for node in data["nodes"]:
        if node["feature_type"] == "cross layer transcoder":
            node["clerp"] = f"{HOSTILE}\x00{LONG}"
    data["metadata"]["prompt"] = f"{HOSTILE}\x00{LONG}"
    data["metadata"]["prompt_tokens"][3] = HOSTILE
    data["metadata"]["info"]["generator"]["name"] = HOSTILE
    for group in data["qParams"]["supernodes"]:
        group[0] = HOSTILE
    return data


def choose_file(page, folder, name, data):
    """Give a file to the uploader."""
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    field = page.locator("input[type=file]")
    if not field.count():
        page.get_by_role("button", name="Open a file").click()
    field.first.set_input_files(path)


def frame_with(page, name):
    """Return the frame whose canvas has drawn a node: one of its own, or the page itself."""
    drawn = "globalThis.CircuitScope && CircuitScope.view && CircuitScope.view.ids()"
    for _ in range(WAIT // 250):
        for frame in page.frames:
            with suppress(Error):  # a frame that is being taken away
                alone = frame.locator(".cs-net").count() == 1  # one before it may be going away
                if alone and name in (frame.evaluate(drawn) or ()):
                    return frame
        page.wait_for_timeout(250)
    raise TimeoutError(f"{name} was not drawn")


def test_a_file_is_opened_explored_and_left_again(url, page, exported, tmp_path):
    before = open_graph(page, url).evaluate("CircuitScope.view.ids()")
    choose_file(page, tmp_path, "mine.json", exported)
    expect(page.get_by_text("From a file: mine.json")).to_be_visible(timeout=WAIT)
    feature = next(n for n in exported["nodes"] if n["isLogit"] is False and n["activation"])
    group = exported["qParams"]["supernodes"][0]
    frame = frame_with(page, "group_0")
    expect(frame.locator(".cs-net")).to_have_count(1, timeout=WAIT)  # the one before it is gone
    frame.get_by_role("button", name="All nodes").click()
    frame = frame_with(page, feature["node_id"])
    assert len(frame.evaluate("CircuitScope.view.ids()")) == len(exported["nodes"])
    assert set(group[1:]) <= set(frame.evaluate("CircuitScope.view.pinned()"))
    page.mouse.move(*point_of(frame, feature["node_id"]))
    expect(frame.locator(".cs-panel")).to_contain_text("Activation")
    page.mouse.click(*point_of(frame, feature["node_id"]))
    open_tab(frame, "Connections")
    expect(frame.locator(".cs-panel")).to_contain_text("Inputs (")
    expect(frame.locator(".cs-why")).to_have_count(0)  # nobody here knows the heads
    frame.locator(".cs").focus()
    page.keyboard.press("Escape")
    open_tab(frame, "Card")
    expect(frame.locator(".cs-panel")).to_contain_text("Strongest paths")
    page.get_by_role("button", name="Back to the graph of the prompt").click()
    frame = frame_with(page, before[0])
    assert frame.evaluate("CircuitScope.view.ids()") == before


def test_a_broken_file_is_refused_and_the_graph_stays(url, page, exported, tmp_path):
    frame = open_graph(page, url)
    before = frame.evaluate("CircuitScope.view.ids()")
    broken = json.loads(json.dumps(exported))
    broken["links"][0]["target"] = HOSTILE
    broken["links"][1]["weight"] = float("nan")
    choose_file(page, tmp_path, "broken.json", broken)
    error = page.get_by_test_id("stAlert")
    expect(error).to_contain_text("2 things are wrong", timeout=WAIT)
    expect(error).to_contain_text("links[0]: there is no node")
    expect(error).to_contain_text("\\u202e<img src=x")
    expect(error).to_contain_text("links[1]: weight is NaN; it must be a finite number")
    assert frame_with(page, before[0]).evaluate("CircuitScope.view.ids()") == before
    assert_nothing_ran(page)
    choose_file(page, tmp_path, "good.json", exported)
    expect(page.get_by_text("From a file: good.json")).to_be_visible(timeout=WAIT)
    expect(error).to_have_count(0)


def test_nothing_in_a_strangers_file_runs(url, page, hostile, tmp_path):
    open_graph(page, url)
    choose_file(page, tmp_path, "strange.json", hostile)
    expect(page.get_by_text("From a file: strange.json")).to_contain_text(
        "<img src=x", timeout=WAIT
    )
    frame = frame_with(page, "group_0")
    page.mouse.move(*point_of(frame, "group_0"))
    expect(frame.locator(".cs-panel")).to_contain_text("<script>")
    page.mouse.click(*point_of(frame, "group_0"))
    expect(frame.locator(".cs-panel")).to_contain_text("<script>")
    frame.get_by_role("button", name="All nodes").click()
    name = next(n["node_id"] for n in hostile["nodes"] if n["activation"])
    frame = frame_with(page, name)
    page.mouse.click(*point_of(frame, name))
    expect(frame.locator(".cs-panel")).to_contain_text("<script>")
    files = {
        "page.html": download(page, "Save as page"),
        "picture.svg": download(frame, "SVG", page),
    }
    assert_nothing_ran(page)
    assert_files_run_nothing(page, tmp_path, files)


def test_a_file_is_pruned_named_and_taken_away_with_what_was_made(url, page, exported, tmp_path):
    open_graph(page, url)
    choose_file(page, tmp_path, "mine.json", exported)
    expect(page.get_by_text("From a file: mine.json")).to_be_visible(timeout=WAIT)
    feature = next(n["node_id"] for n in exported["nodes"] if n["activation"])
    frame = frame_with(page, "group_0")
    frame.get_by_role("button", name="All nodes").click()
    frame = frame_with(page, feature)
    page.mouse.click(*point_of(frame, feature))
    label = page.get_by_label("Label of the selected feature")
    label.fill("named by hand")
    label.press("Enter")
    expect(frame.locator(".cs-panel")).to_contain_text("named by hand", timeout=WAIT)
    n_whole = len(frame.evaluate("CircuitScope.view.ids()"))
    page.get_by_role("button", name="Thresholds").click()
    slider = page.get_by_role("slider", name="Node influence kept")
    slide(slider, "ArrowLeft", until="0.70")
    frame.wait_for_function(f"CircuitScope.view.ids().length < {n_whole}", timeout=WAIT)
    slide(slider, "ArrowRight", until="1.00")
    frame.wait_for_function(f"CircuitScope.view.ids().length === {n_whole}", timeout=WAIT)
    page.keyboard.press("Escape")
    expect(slider).to_have_count(0)
    page.locator("[data-test-script-state=notRunning]").first.wait_for(timeout=WAIT)
    taken = json.loads(download(page, "Save as JSON").read_text())
    labels = {node["node_id"]: node["clerp"] for node in taken["nodes"]}
    assert labels[feature] == "named by hand"
    assert taken["links"] == exported["links"]
    assert taken["qParams"]["supernodes"] == exported["qParams"]["supernodes"]
    assert taken["qParams"]["pinnedIds"] == exported["qParams"]["pinnedIds"]
