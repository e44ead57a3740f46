"""The API reference is written without a network, and has an entry with words for every name."""

import inspect
import re

import pytest

import circuitscope_core as cs
from docs.make_reference import write_reference
from tests.test_architecture import CORE


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_reference(tmp_path_factory.mktemp("reference")).read_text(encoding="utf-8")


def test_every_public_name_has_an_entry(page):
    entries = set(re.findall(r'<section id="(\w+)"', page))
    assert set(cs.__all__) - entries == set()


def test_the_page_loads_nothing_from_elsewhere(page):
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', page) == []


def has_docstring_of_its_own(name):
    return inspect.isclass(getattr(cs, name)) or inspect.isroutine(getattr(cs, name))


@pytest.mark.parametrize("name", list(filter(has_docstring_of_its_own, cs.__all__)))
def test_every_class_and_function_has_a_docstring(name):
    value = getattr(cs, name)
    own = value.__doc__ or ""
    generated = f"{name}("  # the docstring that a dataclass without one is given
    assert own.strip(), name
    assert not own.startswith(generated), name
    if inspect.isclass(value):
        for method, member in vars(value).items():
            if not method.startswith("_") and inspect.isfunction(member):
                assert inspect.getdoc(getattr(value, method)), f"{name}.{method}"


@pytest.mark.parametrize(
    "name", [name for name in cs.__all__ if not has_docstring_of_its_own(name)]
)
def test_every_alias_of_types_is_followed_by_its_meaning(name):
    defined = re.compile(rf'^{name}(?:: TypeAlias)? = .+\n"""\w', flags=re.MULTILINE)
    assert any(defined.search(path.read_text("utf-8")) for path in CORE.rglob("*.py"))
