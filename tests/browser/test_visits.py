"""Visits of the app as a whole: whom its pages ask, and the browser's way back."""

import re

import pytest
from playwright.sync_api import expect

from pages.ui.shared.menu import PAGES
from tests.browser.test_graph import WAIT, graph_frame, point_of

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_no_other_host(url, page, name):
    page.goto(url if name == "home" else f"{url}/{name}")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(1500)
    page.get_by_test_id("stSidebar").get_by_role("link", name=re.compile("Graph$")).click()
    graph_frame(page)


def select(page, frame, name):
    """Click a node and return what the panel says of it."""
    page.mouse.click(*point_of(frame, name))
    expect(page).to_have_url(re.compile(f"node={name}"), timeout=WAIT)
    page.wait_for_timeout(1000)
    return frame.locator(".cs-panel").inner_text()


def test_back_takes_one_choice_back_at_a_time_and_then_leaves_the_page(url, page):
    page.goto(url)
    page.get_by_role("button", name="Show the demo graph").click()
    frame = graph_frame(page)
    expect(page).to_have_url(re.compile("prompt="))
    names = [name for name in frame.evaluate("CircuitScope.view.ids()") if name[0] == "0"][:3]
    said = [select(page, frame, name) for name in names]
    assert len(set(said)) == len(names)
    for name, text in list(zip(names, said, strict=True))[-2::-1]:
        page.go_back()
        expect(page).to_have_url(re.compile(f"node={name}"))
        panel = graph_frame(page).locator(".cs-panel")
        expect(panel).to_contain_text(text.split("\n")[1], timeout=WAIT)
    page.go_forward()
    expect(page).to_have_url(re.compile(f"node={names[1]}"))
    page.go_back()
    page.go_back()
    expect(page).not_to_have_url(re.compile("node="))
    expect(graph_frame(page).locator(".cs-panel")).to_contain_text("Strongest paths", timeout=WAIT)
    page.go_back()
    expect(page.get_by_role("heading", name="CircuitScope")).to_be_visible(timeout=WAIT)


def test_back_brings_a_slider_back(url, page):
    page.goto(f"{url}/graph?model=demo&prompt=one%20two")
    graph_frame(page)
    page.get_by_role("button", name="Thresholds").click()
    slider = page.get_by_role("slider", name="Node score kept")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("nodes=0.79"), timeout=WAIT)
    page.go_back()
    expect(page).not_to_have_url(re.compile("nodes="))
    expect(slider).to_have_value("0.8", timeout=WAIT)


def test_the_menu_has_names_for_who_comes_by_a_link(fresh_url, page):
    page.goto(f"{fresh_url}/graph")
    menu = page.get_by_test_id("stSidebar")
    for name in ("Home", "Train", "Prompt", "Graph", "Compare", "Gallery"):
        link = menu.get_by_role(
            "link", name=re.compile(f"{name}$")
        )  # older versions read the icon out
        expect(link).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stSidebarNav")).to_have_count(0)
    menu.get_by_role("link", name=re.compile("Home$")).click()
    expect(page.get_by_role("heading", name="CircuitScope")).to_be_visible(timeout=WAIT)
