"""A real server, work pools and worker processes: deploy all, run a stage, retrain on an event.

All that needs the server is in this file, so that one of pytest-xdist's workers starts it, once.
"""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from normscape.alerts import AlertStore
from normscape.params import load_params
from normscape.scoring.log import read
from normscape.scoring.paths import score_log
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET
from tests.flows.support import BINARIES, environment, events, run_flow, running, wait_until
from tests.unit.monitoring.support import Line
from tests.unit.scoring.project import fill_day, trained_once

pytestmark = pytest.mark.slow

DAY = "2026-03-12"

ASK = """
import json, sys
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    names = {each.id: each.name for each in client.read_flows()}
    deployments = [f"{names[each.flow_id]}/{each.name}" for each in client.read_deployments()]
    runs = [
        {"flow": names[run.flow_id], "state": run.state.name, "final": run.state.is_final(),
         "message": run.state.message, "parameters": run.parameters, "pool": run.work_pool_name}
        for run in client.read_flow_runs()
    ]
print(json.dumps({"deployments": deployments, "runs": runs}, default=str))
"""

RUN_ON_POOL = """
import sys
sys.path.insert(0, ".")
from pathlib import Path
from flows.pool import run_on_pool
from normscape.errors import NormscapeError
from normscape.params import load_params
try:
    run_on_pool(sys.argv[1], "manifest", sys.argv[2], False, load_params(Path("params.yaml")))
except NormscapeError as error:
    sys.exit(f"error: {error}")
"""

EMIT = """
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
emit_event("normscape.retrain.requested", {"prefect.resource.id": "normscape.model.production"},
           payload={"reason": "scores of bolt moved up", "day": "2026-03-14"})
EventsWorker.instance().wait_until_empty()
"""


class Site:
    """A project whose flows are deployed to a server."""

    def __init__(self, root: Path, api: str) -> None:
        self.root = root
        self.environ = environment(root.parent / "home", api) | {"NORMSCAPE_ROOT": str(root)}

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, cwd=self.root, env=self.environ, capture_output=True, text=True,
            timeout=200, check=False,
        )  # fmt: skip

    def must(self, *arguments: str) -> str:
        done = self.call(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.must(sys.executable, "-c", ASK))
        return answer

    def finished(self, flow: str) -> list[dict[str, Any]]:
        return [run for run in self.ask()["runs"] if run["flow"] == flow and run["final"]]


@pytest.fixture
def site(project: Path, prefect_api: str) -> Iterator[Site]:
    """Everything deployed, a worker process on each pool."""
    place = Site(project, prefect_api)
    with ExitStack() as workers:
        for pool in ("cpu", "gpu"):
            place.must("prefect", "work-pool", "create", pool, "--type", "process")
        place.must("prefect", "--no-prompt", "deploy", "--all")
        for pool in ("cpu", "gpu"):
            arguments = [
                str(BINARIES / "prefect"), "worker", "start", "--pool", pool, "--type", "process"
            ]  # fmt: skip
            log = project.parent / f"{pool}.log"
            workers.enter_context(running(arguments, project.parent, place.environ, log))
        yield place


def test_stages_are_routed_and_an_event_starts_a_training(site: Site) -> None:
    assert set(site.ask()["deployments"]) == {
        "stage/cpu", "stage/gpu", "train/production", "score/production", "monitor/production",
        "discover/production",
    }  # fmt: skip
    # The guard must stop the training that the event asks for: nobody has reviewed this file.
    (site.root / "data/bolt/train/good/unreviewed.png").write_bytes(b"not pinned")
    site.must(sys.executable, "-c", EMIT)
    commit = site.must("git", "rev-parse", "HEAD").strip()

    site.must(sys.executable, "-c", RUN_ON_POOL, "gpu", commit)
    (routed,) = site.finished("stage")
    assert (routed["pool"], routed["state"]) == ("gpu", "Completed")
    assert (site.root / "artifacts/manifest.parquet").exists()

    (training,) = wait_until(lambda: site.finished("train"), 120, "the training on the event")
    assert training["parameters"]["reason"] == "scores of bolt moved up"
    assert training["parameters"]["requested_by_event"] is True
    assert training["state"] == "Failed"
    assert "dvc add data" in training["message"]
    assert "unreviewed.png" in training["message"]

    nowhere = site.call(sys.executable, "-c", RUN_ON_POOL, "tpu", commit)
    assert "Prefect has no deployment stage/tpu" in nowhere.stderr


def test_alerts_become_events_once(tmp_path: Path, prefect_api: str) -> None:
    line = Line(tmp_path)
    line.day(DAY, "grass", 10, p_value=0.001)
    for _ in range(2):
        done = run_flow(tmp_path, prefect_api, "monitor")
        assert done.returncode == 0, done.stdout + done.stderr
    sent = [event for event in events(prefect_api) if event["payload"]["day"] == DAY]
    assert sorted(str(event["event"]) for event in sent) == [
        "normscape.category.unknown", "normscape.retrain.requested",
    ]  # fmt: skip
    assert "10 images declare the unknown category grass" in done.stderr
    notices = [each for alert in AlertStore.of(line.params).sound() for each in alert.notices]
    assert {notice.id for notice in notices} == {event["id"] for event in sent}
    assert all(notice.deliveries["event"].done_at for notice in notices)

    wrong = run_flow(tmp_path, prefect_api, "monitor", "--day", "yesterday")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].startswith("error: 'yesterday' is not a day")
    assert "Traceback" not in wrong.stderr


def test_manifests_and_prefixes_are_scored(
    tmp_path: Path, prefect_api: str, seaweedfs_environment: dict[str, str], use_s3
) -> None:
    root = trained_once(tmp_path)
    params = load_params(root / "params.yaml")
    day = fill_day(root, count=1)
    images = sorted(path.relative_to(root).as_posix() for path in (day / "bolt").iterdir())
    (root / "shift.csv").write_text("path,day\n" + "".join(f"{each},{DAY}\n" for each in images))
    done = run_flow(root, prefect_api, "score", "shift.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(read(score_log(params), days=DAY)["path"]) == images

    use_s3(seaweedfs_environment)
    store = ObjectStore(S3Location(BUCKET, f"flow-{uuid.uuid4().hex}/{day.name}"))
    for path in (day / "nut").iterdir():
        store.put(f"nut/{path.name}", path.read_bytes())
    done = run_flow(root, prefect_api, "score", str(store.location))
    assert done.returncode == 0, done.stdout + done.stderr
    found = read(score_log(params), days=day.name)
    assert list(found["path"]) == [f"{store.location}/nut/000.png"]
    assert list(found["declared_category"]) == ["nut"]
