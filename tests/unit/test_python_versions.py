"""No file needs a Python older or newer than those that are supported: 3.11, 3.12 and 3.13.

The whole of the tests runs under one of them. Here every file is read as Python 3.11 reads it, and
searched for modules and names of the standard library that 3.12 or 3.13 no longer have, or warn of.
"""

import ast
import sys
import warnings

import pytest

from tests.unit.source_files import (
    OLDEST_PYTHON,
    SHIPPED,
    attributes,
    imports,
    parsed,
    place,
    python_files,
)

FILES = python_files(*SHIPPED, "tests")
GONE = {
    *("asynchat", "asyncore", "distutils", "imp", "smtpd"),  # not in 3.12
    *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap"),
    *("msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau"),
    *("telnetlib", "uu", "xdrlib"),  # not in 3.13
    *("typing.io", "typing.re", "pkg_resources"),  # setuptools comes with neither
}
OLD_NAMES = {
    *("datetime.utcnow", "datetime.utcfromtimestamp"),
    *("ast.Num", "ast.Str", "ast.Bytes", "ast.NameConstant", "ast.Ellipsis"),
    *("asyncio.get_event_loop_policy", "asyncio.set_event_loop_policy", "locale.getdefaultlocale"),
    *("locale.resetlocale", "logging.warn", "unittest.makeSuite", "unittest.findTestCases"),
    *("inspect.getargspec", "inspect.formatargspec", "typing.ByteString", "typing.AnyStr"),
    *("importlib.find_loader", "pkgutil.find_loader", "pkgutil.get_loader", "pkgutil.ImpImporter"),
    *("sqlite3.version", "tarfile.tarfile", "webbrowser.MacOSX", "pathlib.PurePath.__enter__"),
}


def test_every_file_is_python_of_the_oldest_version_and_warns_of_nothing():
    assert len(FILES) > 300
    for path in FILES:
        parsed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an invalid escape, for example
            compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)


def test_no_file_imports_a_module_that_a_newer_python_lacks():
    wrong = [
        f"{place(path, node)}: {name}"
        for path in FILES
        for node, name in imports(path)
        if name in GONE or name.split(".")[0] in GONE
    ]
    assert wrong == []


def test_no_file_uses_a_name_that_a_newer_python_lacks_or_warns_of():
    wrong = [
        f"{place(path, node)}: {name}"
        for path in FILES
        for node, name in (*attributes(path), *imports(path))
        if name in OLD_NAMES
    ]
    assert wrong == []


def test_every_module_of_the_standard_library_is_one():
    """A module that is neither installed nor ours is of the standard library of this Python."""
    ours = {"circuitscope_core", "pages", "tests", "bench", "docs", "app"}
    roots = {name.split(".")[0] for path in FILES for _, name in imports(path)}
    standard = roots & set(sys.stdlib_module_names)
    assert {"json", "pathlib", "typing"} <= standard
    assert not standard & (GONE | ours)


@pytest.mark.parametrize(
    "source", ["type X = int", "def f[T](x: T) -> T: ...", "f'{\"a\" + f\"{'b'}\"}'"]
)
def test_a_file_of_a_newer_python_would_be_noticed(source):
    if source.startswith("f'"):
        if sys.version_info >= (3, 12):
            pytest.skip("newer parsers read nested quotes whatever version they are asked for")
        with pytest.raises(SyntaxError):
            compile(source, "a.py", "exec")
        return
    with pytest.raises(SyntaxError):
        ast.parse(source, feature_version=OLDEST_PYTHON)
