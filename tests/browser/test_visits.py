"""Visits of the app as a whole: whom its pages ask, and the browser's way back."""

import re

import pytest
from playwright.sync_api import expect
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext

from pages.ui.shared.menu import PAGES
from tests.browser.test_graph import WAIT, graph_frame, point_of

pytestmark = pytest.mark.browser
TELLS_OF_BACK = hasattr(ScriptRunContext, "is_history_navigation")
needs_back = pytest.mark.skipif(
    not TELLS_OF_BACK, reason="Streamlit tells a page of the browser's Back from 1.65 on"
)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_no_other_host(url, page, name):
    page.goto(url if name == "home" else f"{url}/{name}")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(1500)
    page.get_by_test_id("stSidebar").get_by_role("link", name=re.compile("Graph$")).click()
    graph_frame(page)


def select(page, frame, name):
    """Click a node; the panel shows its card, and the address names it."""
    page.mouse.click(*point_of(frame, name))
    expect(page).to_have_url(re.compile(f"node={name}"), timeout=WAIT)
    expect(frame.locator(".cs-panel")).to_have_attribute("data-of", name)


@needs_back
def test_back_takes_one_choice_back_at_a_time_and_then_leaves_the_page(url, page):
    page.goto(url)
    page.get_by_role("button", name="Show the demo graph").click()
    frame = graph_frame(page)
    expect(page).to_have_url(re.compile("prompt="))
    names = [name for name in frame.evaluate("CircuitScope.view.ids()") if name[0] == "0"][:3]
    for name in names:
        select(page, frame, name)
    for name in names[-2::-1]:
        page.go_back()
        expect(page).to_have_url(re.compile(f"node={name}"))
        panel = graph_frame(page).locator(".cs-panel")
        expect(panel).to_have_attribute("data-of", name, timeout=WAIT)
    page.go_forward()
    expect(page).to_have_url(re.compile(f"node={names[1]}"))
    page.go_back()
    page.go_back()
    expect(page).not_to_have_url(re.compile("node="))
    expect(graph_frame(page).locator(".cs-panel")).to_contain_text("Strongest paths", timeout=WAIT)
    page.go_back()
    expect(page.get_by_role("heading", name="CircuitScope")).to_be_visible(timeout=WAIT)


@needs_back
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
    expect(slider).to_have_attribute("aria-valuetext", "0.80", timeout=WAIT)


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
