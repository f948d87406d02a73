from pathlib import Path

import pytest

from tests.unit.alerts.support import Plant


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """A project with one notification block."""
    return Plant(tmp_path / "plant")
