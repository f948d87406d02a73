"""The monitor's flow without a server: what is stored is sent to one of its own."""

from pathlib import Path

import pytest

from normscape.alerts import AlertStore
from tests.flows.support import run_flow
from tests.unit.monitoring.support import Line

pytestmark = pytest.mark.slow

DAY = "2026-03-12"


def test_without_a_server_events_are_sent_to_the_commands_own(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.day(DAY, "grass", 10, p_value=0.001)
    done = run_flow(tmp_path, "", "monitor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error emitting event" not in done.stderr
    notices = [each for alert in AlertStore.of(line.params).sound() for each in alert.notices]
    assert len(notices) == 2
    assert all(notice.deliveries["event"].done_at for notice in notices)
    assert (line.params.state / "prefect" / "prefect.db").exists()
    assert not (tmp_path / "home").exists()
