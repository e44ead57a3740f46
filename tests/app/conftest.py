"""Helpers that tests of the pages share."""

from collections.abc import Iterator

import pytest
from streamlit.components.v2 import manifest_scanner

from circuitscope_core.training import TrainingSpeed


@pytest.fixture(autouse=True)
def no_stopwatch(monkeypatch):
    """Take the speed of this machine as known: to measure it takes seconds on every Train page."""
    speed = TrainingSpeed(1e-6, 1e-6, 1e-6)
    monkeypatch.setattr("pages.ui.train.estimate.measure_speed_apart", lambda _: speed)


@pytest.fixture(scope="session", autouse=True)
def one_scan() -> Iterator[None]:
    """Read once what is installed: Streamlit looks there for components at every page opened."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield
