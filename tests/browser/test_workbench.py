"""The Graph page as one screen: its room, its story, its steps, and a walk through them."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_graph import WAIT, download, features, open_graph, open_tab, point_of

pytestmark = pytest.mark.browser
SCROLLS = """() => [document.scrollingElement, document.querySelector('.stMain')]
  .some(part => part.scrollHeight > part.clientHeight + 1)"""


@pytest.mark.parametrize(("width", "height", "least"), [(1440, 900, 0.65), (1280, 720, 0.60)])
def test_the_canvas_has_most_of_the_window_and_the_page_does_not_scroll(
    url, page, width, height, least
):
    page.set_viewport_size({"width": width, "height": height})
    frame = open_graph(page, url)
    box = frame.locator(".cs-net").bounding_box()
    assert box["width"] * box["height"] >= least * width * height
    assert not page.evaluate(SCROLLS)
    side = frame.locator(".cs-side").bounding_box()
    assert side["x"] + side["width"] <= width + 1
    assert side["y"] + side["height"] <= height + 1


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (800, 900), (390, 844), (720, 450)])
def test_on_small_screens_every_control_can_be_reached(url, page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    frame = open_graph(page, url)
    for name in ("All nodes", "Show path", "Check it", "PNG", "Tour", "Fit"):
        button = frame.get_by_role("button", name=name, exact=True)
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    for name in ("Card", "Connections", "Heads", "Intervene", "Table"):
        open_tab(frame, name)
        expect(frame.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")


def test_the_story_is_told_shown_and_checked(url, page):
    frame = open_graph(page, url)
    story = frame.locator(".cs-story-text")
    expect(story).to_have_text(re.compile(r"^“D” \(100%\) comes most.*heads? \d\.\d.*gives “."))
    path = frame.get_by_role("button", name="Show path")
    path.click()
    expect(path).to_have_attribute("aria-pressed", "true")
    path.click()
    frame.get_by_role("button", name="Check it").click()
    outcomes = frame.locator(".cs-outcome")
    expect(outcomes.first).to_contain_text("100.0% →")
    expect(frame.locator(".cs-live")).to_contain_text("switched off")
    frame.get_by_role("button", name="Check it").click()
    frame.get_by_role("button", name="Show heads").click()
    expect(page.get_by_role("heading", name="Inside the edge")).to_be_visible(timeout=WAIT)


def test_steps_are_taken_back_and_again_by_keys(url, page):
    frame = open_graph(page, url)
    name = features(frame)[0]
    page.mouse.click(*point_of(frame, name))
    expect(page).to_have_url(re.compile(f"node={name}"), timeout=WAIT)
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile("subgraph="), timeout=WAIT)
    undo = frame.get_by_role("button", name="Undo")
    expect(undo).to_be_enabled(timeout=WAIT)
    frame.locator(".cs").focus()
    page.keyboard.press("Control+z")
    frame.wait_for_function("CircuitScope.view.pinned().length === 0", timeout=WAIT)
    expect(page).not_to_have_url(re.compile("subgraph="), timeout=WAIT)
    frame.locator(".cs").focus()
    page.keyboard.press("Control+y")
    frame.wait_for_function("CircuitScope.view.pinned().length === 1", timeout=WAIT)


def test_a_walk_through_replays_here_and_in_a_page_of_its_own(url, page, context, tmp_path):
    frame = open_graph(page, url)
    for name in features(frame)[:2]:
        page.mouse.click(*point_of(frame, name))
        expect(page).to_have_url(re.compile(f"node={name}"), timeout=WAIT)
    page.get_by_role("button", name="Views").click()
    page.get_by_text("Make a walk-through of my steps").click()
    page.get_by_role("button", name="Begin at its first step").click()
    walk = frame.get_by_role("group", name="Walk-through")
    expect(walk).to_contain_text("1 of 3", timeout=WAIT)
    walk.get_by_role("button", name="Next").click()
    expect(walk).to_contain_text("2 of 3", timeout=WAIT)
    expect(frame.locator(".cs-panel")).to_have_attribute("data-of", features(frame)[0])
    page.get_by_test_id("stPopoverButton").filter(has_text="Download").click()
    saved = tmp_path / "walk.html"
    saved.write_bytes(download(page, "Walk-through").read_bytes())
    context.set_offline(True)
    page.goto(saved.as_uri())
    page.wait_for_selector("[data-ready=true]")
    own = page.get_by_role("group", name="Walk-through")
    for step in (1, 2, 3):
        expect(own).to_contain_text(f"{step} of 3")
        if step < 3:
            own.get_by_role("button", name="Next").click()
    expect(own.get_by_role("button", name="Next")).to_be_disabled()


def test_search_walks_through_its_finds(url, page):
    frame = open_graph(page, url)
    field = frame.locator(".cs-search")
    field.fill("letter")
    expect(frame.locator(".cs-found")).to_contain_text("found")
    field.press("Enter")
    expect(frame.locator(".cs-found")).to_contain_text("1 of")
    first = frame.locator(".cs-panel").get_attribute("data-of")
    field.press("Enter")
    expect(frame.locator(".cs-found")).to_contain_text("2 of")
    assert frame.locator(".cs-panel").get_attribute("data-of") != first
