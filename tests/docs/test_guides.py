"""Statements of the guides about names and settings hold."""

import inspect
import re

import circuitscope_core as cs
from circuitscope_core.config import TrainConfig
from tests.test_architecture import ROOT


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_calls_that_the_page_of_devices_names_take_a_device():
    named = [name for name in re.findall(r"`(\w+)`", page("devices.md")) if name in cs.__all__]
    assert len(named) >= 3
    for name in named:
        assert "device" in inspect.signature(getattr(cs, name)).parameters, name


def test_terms_in_code_on_the_glossary_are_names_of_the_code():
    named = re.findall(r"`(\w+)`", page("glossary.md"))
    source = "".join(path.read_text("utf-8") for path in (ROOT / "circuitscope_core").rglob("*.py"))
    assert {"adjacency", "direct", "constrained", "iterative"} <= {
        *named,
        *re.findall(r"`(\w+)\[", page("glossary.md")),
    }
    assert [name for name in named if not re.search(rf"\b{name}\b", source)] == []


def test_numbers_of_the_guide_to_training_are_the_defaults():
    config, said = TrainConfig(), page("training.md")
    assert f"Every {config.corpus.validation_every}th document is held out" in said
    assert f"{config.model.d_vocab:,} of them" in said
    assert f"({config.corpus.skill_share:.0%} by default)".replace("%", " %") in said
