"""Text from outside stays text."""

import re

from pages.ui.shared.text import plain
from tests.app.opening import open_page


def test_markdown_from_outside_is_shown_as_it_is():
    hostile = "![x](http://evil/a.png) [y](javascript:z) <img src=q> `c` $m$ :red[r] a_b_c"
    escaped = plain(hostile)
    for opening in ("![", "](", "<img", "$m", ":red["):
        assert not re.search(r"(?<!\\)" + re.escape(opening), escaped)
        assert opening in hostile
    assert escaped.replace("\\", "") == hostile


def test_a_hostile_model_name_in_the_address_becomes_no_picture():
    at = open_page("home", model="![x](http://evil/a.png)")
    assert "There is no model" in at.warning[0].value
    assert "![" not in at.warning[0].value
