"""The Python sources, parsed: which calls, imports and names are in them."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ("circuitscope_core", "pages", "docs", "bench", "snowflake")
OLDEST_PYTHON = (3, 11)


def python_files(*folders):
    """Return the Python files of folders, and the app's first file."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in [*found, ROOT / "app.py"] if "node_modules" not in path.parts]


@cache
def parsed(path):
    """Return a file as the oldest supported Python reads it."""
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=OLDEST_PYTHON)


def place(path, node):
    return f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"


def calls(path):
    """Yield each call of a file and the last part of its function's name."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            yield node, name


def imports(path):
    """Yield each imported module of a file, and each name that is imported from one."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node, node.module
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


def attributes(path):
    """Yield each dotted name of a file that has one dot, such as ``os.fork``."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node, f"{node.value.id}.{node.attr}"
