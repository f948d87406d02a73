"""The monitor's flow against a real server: what is stored is sent, once."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from normscape.alerts import AlertStore, Notice
from tests.flows.support import CHECKOUT, environment
from tests.unit.monitoring.support import Line

pytestmark = pytest.mark.slow

DAY = "2026-03-12"


def events(api: str) -> list[dict[str, object]]:
    body = json.dumps({"filter": {"event": {"prefix": ["normscape."]}}, "limit": 50}).encode()
    request = urllib.request.Request(  # noqa: S310
        f"{api}/events/filter", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: list[dict[str, object]] = json.load(answer)["events"]
    return found


def monitor(root: Path, api: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.monitor", *arguments], cwd=root, timeout=200, check=False,
        env=environment(root / "home")
        | {"NORMSCAPE_PREFECT_API_URL": api, "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"},
        capture_output=True, text=True,
    )  # fmt: skip


def notices(line: Line) -> list[Notice]:
    return [notice for alert in AlertStore.of(line.params).sound() for notice in alert.notices]


def test_alerts_become_events_once(tmp_path: Path, prefect_api: str) -> None:
    line = Line(tmp_path)
    line.day(DAY, "grass", 10, p_value=0.001)
    for _ in range(2):
        done = monitor(tmp_path, prefect_api)
        assert done.returncode == 0, done.stdout + done.stderr
    sent = [event for event in events(prefect_api) if event["payload"]["day"] == DAY]
    assert sorted(str(event["event"]) for event in sent) == [
        "normscape.category.unknown", "normscape.retrain.requested",
    ]  # fmt: skip
    assert "10 images declare the unknown category grass" in done.stderr
    assert {notice.id for notice in notices(line)} == {event["id"] for event in sent}
    assert all(notice.deliveries["event"].done_at for notice in notices(line))

    wrong = monitor(tmp_path, prefect_api, "--day", "yesterday")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].startswith("error: 'yesterday' is not a day")
    assert "Traceback" not in wrong.stderr


def test_without_a_server_events_are_sent_to_the_commands_own(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.day(DAY, "grass", 10, p_value=0.001)
    done = monitor(tmp_path, "")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error emitting event" not in done.stderr
    assert len(notices(line)) == 2
    assert all(notice.deliveries["event"].done_at for notice in notices(line))
    assert (line.params.state / "prefect" / "prefect.db").exists()
    assert not (tmp_path / "home").exists()
