"""Monitoring is run from the checkout's root and is not installed; its tests import it."""

from pathlib import Path

import pytest

from tests.unit.monitoring.support import Line


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """A project with a model in production."""
    return Line(tmp_path)
