"""Text from outside, on a page."""

import re


def plain(text: str) -> str:
    """Return text that Streamlit's Markdown shows as it is.

    Names, file columns and addresses are anyone's: without this, one that is written as a picture
    would make the browser ask a stranger's server for it.
    """
    return re.sub(r"([\\`*_{}\[\]()#!<>|~$:&])", r"\\\1", text)
