"""Pages of the app as the tests open them."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]
SECONDS = 120


def open_page(name, **address):
    """Open a page by its own file, with parameters in its address."""
    at = AppTest.from_file(ROOT / "pages" / f"{name}.py", default_timeout=SECONDS)
    for key, value in address.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def open_app(name="home"):
    """Open the app, and one of its pages from there."""
    at = AppTest.from_file(ROOT / "app.py", default_timeout=SECONDS).run()
    if name != "home":
        at.switch_page(f"pages/{name}.py").run()
    assert not at.exception
    return at
