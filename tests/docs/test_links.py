"""Every link and picture of the pages leads to a file, and to a heading that is there."""

import re

import pytest

from tests.docs.pages import PAGES, name_of, prose_of
from tests.test_architecture import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)


def anchors_of(page):
    """Return the anchors that GitHub makes of a page's headings."""
    titles = HEADING.findall(prose_of(page))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_between_files_leads_somewhere(page):
    wrong = []
    for link in LINK.findall(prose_of(page)):
        if re.match(r"[a-z]+://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            wrong.append(link)
    assert wrong == []


def test_the_index_leads_to_every_page():
    index = ROOT / "docs" / "README.md"
    links = {link.partition("#")[0] for link in LINK.findall(prose_of(index))}
    reached = {(index.parent / link).resolve() for link in links}
    assert {page for page in PAGES if page != index} - reached == set()


def test_every_picture_is_shown_on_a_page():
    shown = {link for page in PAGES for link in LINK.findall(prose_of(page))}
    names = {link.rpartition("/")[2] for link in shown}
    pictures = {
        path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".svg", ".webp")
    }
    assert pictures - names == set()
