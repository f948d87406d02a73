"""The whole way: a scored day, the flow, a real block on a real Prefect server, a real receiver."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from normscape.alerts import AlertStore
from tests.flows.support import environment, events, run_flow
from tests.unit.monitoring.receiver import SECRET, receiver
from tests.unit.monitoring.support import Line

pytestmark = pytest.mark.slow

DAYS = ("2026-04-12", "2026-04-13")


def test_every_alert_arrives_when_the_receiver_is_back(tmp_path: Path, prefect_api: str) -> None:
    line = Line(tmp_path)
    with receiver() as hook:
        made = run_flow(
            tmp_path, prefect_api, "notify", "add", "webhook", "hook", text=f"{hook.url}\n"
        )
        assert made.returncode == 0, made.stderr
        assert "custom-webhook/hook" in made.stdout
        values = {"blocks": ["custom-webhook/hook"], "timeout_seconds": 1}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"alerts": values}))
        tried = run_flow(tmp_path, prefect_api, "notify", "test")
        assert tried.stdout == "custom-webhook/hook: sent\n", tried.stderr
        assert hook.messages.pop()["subject"] == "[test] Normscape"

        hook.mode = "broken"
        line.day(DAYS[0], "grass", 10)
        first = run_flow(tmp_path, prefect_api, "monitor")
        hook.down()
        line.day(DAYS[1], "moss", 12)
        second = run_flow(tmp_path, prefect_api, "monitor")
        output = first.stdout + first.stderr + second.stdout + second.stderr
        assert (first.returncode, second.returncode) == (0, 0), output
        assert "HTTP 500" in first.stderr
        assert "ConnectError" in second.stderr
        stored = AlertStore.of(line.params).sound()
        expected = [
            notice.id for alert in stored for notice, _ in alert.waiting(["custom-webhook/hook"])
        ]
        assert len(expected) == 2
        assert not hook.messages
        metrics = (line.params.state / "monitor" / "metrics.prom").read_text()
        assert 'normscape_notices_unsent{receiver="custom-webhook/hook"} 2.0' in metrics
        assert 'normscape_notices_unsent{receiver="event"} 0.0' in metrics

        hook.mode = "ok"
        hook.up()
        done = run_flow(tmp_path, prefect_api, "notify", "send")
        assert done.stdout == "2 sent, 0 wait\n", done.stderr
        assert hook.notices == expected

    sent = [event for event in events(prefect_api) if event["payload"]["day"] in DAYS]
    assert sorted(str(event["event"]) for event in sent) == [
        "normscape.category.unknown", "normscape.category.unknown",
        "normscape.retrain.requested", "normscape.retrain.requested",
    ]  # fmt: skip
    assert all(
        "flow-run" in [each["prefect.resource.role"] for each in event["related"]] for event in sent
    )
    output += "".join(run.stdout + run.stderr for run in (made, tried, done))
    files = [path for path in line.params.state.rglob("*") if path.suffix in (".json", ".prom")]
    assert files
    assert SECRET not in output + "".join(path.read_text() for path in files)


def test_a_block_that_is_not_there_is_said_and_loses_nothing(
    tmp_path: Path, prefect_api: str
) -> None:
    line = Line(tmp_path)
    (tmp_path / "params.yaml").write_text("alerts: {blocks: [custom-webhook/nowhere]}\n")
    line.day(DAYS[0], "grass", 10)
    done = run_flow(tmp_path, prefect_api, "monitor")
    assert done.returncode == 0, done.stderr
    assert "Prefect's server has no block 'custom-webhook/nowhere'" in done.stderr
    listed = subprocess.run(
        [sys.executable, "-m", "normscape.cli", "alerts", "list", "--json"], cwd=tmp_path,
        env=environment(tmp_path / "home"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {alert["kind"]: alert for alert in json.loads(listed.stdout)}
    [notice] = found["unknown"]["notices"]
    assert notice["deliveries"]["event"]["done_at"]
    assert notice["deliveries"]["custom-webhook/nowhere"]["done_at"] is None
