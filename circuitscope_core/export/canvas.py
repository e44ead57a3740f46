"""The canvas's files, as the pages that show it need them."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from circuitscope_core.errors import CircuitScopeError

CANVAS_FOLDER = Path(__file__).resolve().parents[1] / "canvas"
STYLE_SHEET = "graph.css"
VIS_NETWORK = "vis-network.min.js"
_IMPORT = re.compile(
    r"^import (?P<names>[^'\"]+) from '\./(?P<file>[\w.]+)'(?: with \{ type: 'json' \})?\n",
    re.MULTILINE,
)
_EXPORT = re.compile(r"^export (?=const |function |class )", re.MULTILINE)


def read_canvas_file(name: str) -> str:
    """Return the text of a script or style; HTML turns CR LF into LF, which changes its hash."""
    return (CANVAS_FOLDER / name).read_text(encoding="utf-8").replace("\r\n", "\n")


PALETTE: dict[str, Any] = json.loads(read_canvas_file("theme.json"))
"""The colours that the canvas and the pictures made without a browser share."""


def canvas_modules(*entries: str) -> tuple[str, ...]:
    """Return the names of modules and of all that they import, each after those it imports."""
    order: list[str] = []

    def add(name: str) -> None:
        for match in _IMPORT.finditer(read_canvas_file(name)):
            if match["file"].endswith(".js") and match["file"] not in order:
                add(match["file"])
        if name not in order:
            order.append(name)

    for entry in entries:
        add(entry)
    return tuple(order)


def join_modules(*entries: str) -> str:
    """Return modules of the canvas, and all that they import, as one text.

    A page that loads nothing and a component of Streamlit each take one script, which cannot import
    others. The modules follow each other without their ``import`` lines and ``export`` words, so
    the names at their top level must differ; ``tests/canvas`` holds that.
    """
    return "\n".join(_joined(name) for name in canvas_modules(*entries))


def classic_script(*entries: str, run: str) -> str:
    """Return modules of the canvas as a script that is no module and names nothing globally.

    Args:
        entries: The modules.
        run: What it does at last.
    """
    return f"(function () {{\n'use strict'\n{join_modules(*entries)}\n{run}\n}})()\n"


def _joined(name: str) -> str:
    return _EXPORT.sub("", _IMPORT.sub(_inline_data, read_canvas_file(name)))


def _inline_data(match: re.Match[str]) -> str:
    """Return what stands in the place of an import: the data of a JSON file, else nothing."""
    if not match["file"].endswith(".json"):
        return ""
    data = json.loads(read_canvas_file(match["file"]))
    return f"const {match['names']} = {json.dumps(data)}\n"


def find_vis_network() -> Path:
    """Return vis-network as it lies in the installed pyvis package, the newest version in it.

    pyvis itself is not imported: it would load IPython.

    Raises:
        CircuitScopeError: If pyvis or the file in it is missing.
    """
    spec = find_spec("pyvis")
    folders = spec.submodule_search_locations if spec else None
    found = [
        path for folder in folders or () for path in Path(folder).glob(f"**/vis-*/{VIS_NETWORK}")
    ]
    if not found:
        raise CircuitScopeError(
            "The graph canvas needs vis-network from the package pyvis, which is not installed. "
            "Run: pip install -r requirements.txt"
        )
    return max(found, key=_version_of)


def read_vis_network() -> str:
    """Return the text of vis-network."""
    return find_vis_network().read_text(encoding="utf-8").replace("\r\n", "\n")


def _version_of(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parent.name))
