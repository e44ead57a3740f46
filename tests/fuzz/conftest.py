"""Readers as users have them."""

import jaxtyping
import pytest


@pytest.fixture
def unchecked():
    """Run without the checks of types that tests add, which read cards by themselves."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
