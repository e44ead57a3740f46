"""Write the API reference from the docstrings of every public name.

Usage: python docs/make_reference.py [FOLDER]

The pages go to ``out/reference`` unless a folder is named. No network is needed to write or to read
them.
"""

import sys
from pathlib import Path

import pdoc

ROOT = Path(__file__).resolve().parent.parent
PUBLIC_ONLY = ("circuitscope_core", r"!circuitscope_core\..+")
"""The package's own page, which has all public names; the modules behind it are left out."""


def write_reference(folder: Path) -> Path:
    """Write the reference into a folder, and return the page with all public names."""
    pdoc.render.configure(docformat="google", show_source=False, template_directory=None)
    pdoc.pdoc(*PUBLIC_ONLY, output_directory=folder)
    return folder / "circuitscope_core.html"


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "reference"
    print(write_reference(folder))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
