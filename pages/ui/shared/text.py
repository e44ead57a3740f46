"""Text from outside, on a page."""

import re

NO_LETTERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that move or reverse the text after them instead of being seen."""


def plain(text: str) -> str:
    """Return text that Streamlit's Markdown shows as it is.

    Names, file columns and addresses are anyone's: without this, one that is written as a picture
    would make the browser ask a stranger's server for it.
    """
    return re.sub(r"([\\`*_{}\[\]()#!<>|~$:&])", r"\\\1", text)


def one_line(text: str, length: int) -> str:
    """Return text for one line of a page: shortened, and what is no letter made visible."""
    seen = NO_LETTERS.sub("\ufffd", " ".join(text[: 4 * length].split()))
    return seen if len(seen) <= length else seen[: length - 1] + "…"
