"""What tests of the pages share."""

import pytest

from circuitscope_core.training import TrainingSpeed


@pytest.fixture(autouse=True)
def no_stopwatch(monkeypatch):
    """Take the speed of this machine as known: to measure it takes seconds on every Train page."""
    speed = TrainingSpeed(1e-6, 1e-6, 1e-6)
    monkeypatch.setattr("pages.ui.train.form.measure_speed_apart", lambda _: speed)
