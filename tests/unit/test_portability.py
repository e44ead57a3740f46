"""The program runs on Windows and macOS too, as far as that can be told without them."""

import ast
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitscope_core.bundle import name_fault
from circuitscope_core.export import slugify
from circuitscope_core.files import refused_by_windows
from circuitscope_core.pipeline.names import numbered
from tests.unit.source_files import (
    SHIPPED,
    attributes,
    calls,
    imports,
    parsed,
    place,
    python_files,
)

FILES = python_files(*SHIPPED)
PROGRAM = python_files("circuitscope_core", "pages", "docs")
NEVER = {"fcntl", "msvcrt", "termios", "pwd", "grp", "pty", "tty", "syslog", "posix", "nis"}
ON_UNIX = {
    *("resource", "os.fork", "os.forkpty", "os.killpg", "os.setsid", "os.getuid", "os.geteuid"),
    *("os.sched_getaffinity", "os.sched_setaffinity", "os.posix_fallocate", "os.getloadavg"),
    *(
        "os.pread",
        "os.preadv",
        "os.nice",
        "os.mkfifo",
        "os.statvfs",
        "os.sysconf",
        "os.WNOHANG",
        "os.O_NOFOLLOW",
    ),
    *("signal.SIGKILL", "signal.SIGALRM", "signal.SIGHUP", "signal.SIGUSR1", "signal.alarm"),
    *("signal.setitimer", "signal.pthread_kill"),
}
"""Modules and names that Windows lacks."""
GUARD = re.compile(r"ImportError|hasattr\(os, |sys\.platform")


def mode_of(node, name):
    """Return the mode that a call opens a file with."""
    first = 1 if isinstance(node.func, ast.Name) or name == "fdopen" else 0
    given_ = [word.value for word in node.keywords if word.arg == "mode"]
    given_ += node.args[first : first + 1]
    mode = given_[0] if given_ else ast.Constant("r")
    return mode.value if isinstance(mode, ast.Constant) else ""


def opens_text(node, name):
    """Tell whether a call opens a file as text, or reads or writes one."""
    if name in ("read_text", "write_text"):
        return isinstance(node.func, ast.Attribute)  # the functions of that name write UTF-8
    if name not in ("open", "fdopen"):
        return False
    mode = mode_of(node, name)
    return isinstance(mode, str) and "b" not in mode and set(mode) <= set("rwax+t")


OTHER_OPENERS = re.compile(r"^(Image|archive|os|self|.*planned|replace\(work.*)$")
"""Their ``open`` opens something else than a text file."""


def test_every_text_file_has_its_encoding_named():
    wrong = []
    for path in FILES:
        for node, name in calls(path):
            owner = ast.unparse(getattr(node.func, "value", node.func))
            elsewhere = name == "open" and OTHER_OPENERS.search(owner)
            named = any(word.arg == "encoding" for word in node.keywords)
            if opens_text(node, name) and not elsewhere and not named:
                wrong.append(f"{place(path, node)}: {name}")
    assert wrong == []


def test_locks_and_processes_are_those_of_every_system():
    wrong = [
        f"{place(path, node)}: {name}"
        for path in PROGRAM
        for node, name in imports(path)
        if name.split(".")[0] in NEVER
    ]
    assert wrong == []
    started = [
        f"{place(path, node)}: {name}"
        for path in PROGRAM
        for node, name in calls(path)
        if name in ("get_context", "set_start_method")
        and any(isinstance(word, ast.Constant) and word.value != "spawn" for word in node.args)
    ]
    assert started == []
    bare = [
        place(path, node)
        for path in PROGRAM
        for node, name in attributes(path)
        if name in ("multiprocessing.Process", "multiprocessing.Pool")
    ]
    assert bare == []  # the system's own way of starting one is another on each


def test_no_file_is_opened_a_second_time_by_its_name():
    """Windows lets nobody open a temporary file that is open, or replace it."""
    named = [
        place(path, node)
        for path in PROGRAM
        for node, name in calls(path)
        if name == "NamedTemporaryFile"
    ]
    assert named == []


def test_what_windows_lacks_is_asked_for_first():
    wrong = []
    for path in PROGRAM:
        functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]
        for node, name in (*attributes(path), *imports(path)):
            if name not in ON_UNIX:
                continue
            around = [
                ast.unparse(one) for one in functions if one.lineno <= node.lineno <= one.end_lineno
            ]
            if not any(GUARD.search(text) for text in around):
                wrong.append(f"{place(path, node)}: {name}")
    assert wrong == []


def test_a_path_is_joined_by_pathlib():
    """A text with a slash that is put together by hand reaches no disk."""
    wrong = []
    for path in FILES:
        for node, name in calls(path):
            if name not in ("Path", "open", "mkdir", "makedirs", "joinpath"):
                continue
            parts = [part for word in node.args[:1] for part in pieces(word)]
            if any("/" in part or "\\" in part for part in parts):
                wrong.append(f"{place(path, node)}: {ast.unparse(node)}")
    assert wrong == []


def pieces(node):
    """Return the constant pieces of a text that is put together."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.Constant)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return [
            part.value
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
    return []


@pytest.mark.parametrize(
    "name", ["con", "NUL", "nul.json", "Com1.x.y", "lpt9", "a.", "a ", "a:b", "a?b", "", "CONIN$"]
)
def test_names_that_windows_refuses(name):
    assert refused_by_windows(name)


@pytest.mark.parametrize("name", ["console", "a.b", "com", "com10", "-", "nul-1", ".bin", "demo"])
def test_names_that_windows_takes(name):
    assert not refused_by_windows(name)


@given(st.text(max_size=80))
def test_a_slug_is_a_name_on_every_system(text):
    for ending in ("", ".json", "-walk.html"):
        assert not refused_by_windows(slugify(text) + ending)


@pytest.mark.parametrize("text", ["con", "Nul.", "aux.txt", "COM1", "lpt3.a b"])
def test_a_prompt_that_is_a_device_of_windows_gets_a_slug_all_the_same(text):
    assert not refused_by_windows(slugify(text))
    assert slugify(slugify(text)) == slugify(text)


LETTERS = string.ascii_letters + string.digits + "._- :*?\\/"


@given(st.text(LETTERS, min_size=1, max_size=20) | st.sampled_from(["con", "nul.a", "a.", "AUX"]))
def test_a_models_name_is_a_name_on_every_system(name):
    if not name_fault(name):
        for made in (name, f"{name}~123", f"{name}.json", f".{name}.partial", f".{name}.ready"):
            assert not refused_by_windows(made)
        other = next(numbered(name))
        assert not refused_by_windows(other)


def test_the_reason_for_a_refused_name_says_so():
    assert "Windows" in name_fault("nul")
    assert "Windows" in name_fault("mine.")
    assert name_fault("mine.v2") == ""


def test_files_of_the_repository_have_names_of_every_system():
    root = Path(__file__).parents[2]
    for folder in (*SHIPPED, "tests", "models"):
        names = [path for path in (root / folder).rglob("*") if "node_modules" not in path.parts]
        assert [path for path in names if refused_by_windows(path.name)] == []
        folded = [str(path).casefold() for path in names]
        assert len(folded) == len(set(folded))
