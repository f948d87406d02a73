"""`normscape prune` of a score log in a real object store, with readers and writers beside it."""

import json
import multiprocessing
import os
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from normscape.cli.main import app
from normscape.params import Params, load_params
from normscape.retention.prune import PruneSummary, prune
from normscape.scoring import day as day_module
from normscape.scoring.compact import compact
from normscape.scoring.log import LogWriter, append, read
from normscape.scoring.parts import Partition
from normscape.scoring.paths import score_log
from normscape.scoring.retire import pruned_days
from normscape.scoring.run import score_place
from normscape.scoring.s3_parts import S3Parts
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET
from tests.unit.scoring.project import DAY, picture
from tests.unit.scoring.rows import VERSION, frame, row

from .test_prune import DAYS, TODAY

pytestmark = pytest.mark.slow
LATER = "2026-03-20"

Open = Callable[[str], S3Parts]


@pytest.fixture
def location(seaweedfs_environment, use_s3) -> S3Location:
    use_s3(seaweedfs_environment)
    return S3Location(BUCKET, f"line-{uuid.uuid4().hex}/scores")


@pytest.fixture
def machine(location: S3Location, tmp_path: Path) -> Open:
    """The log as another machine sees it, with copies of its own."""
    return lambda name: S3Parts(ObjectStore(location), tmp_path / name)


def limited(root: Path, location: S3Location, **retention: object) -> Params:
    """A project whose log lies in the store, with limits."""
    path = root / "params.yaml"
    content = yaml.safe_load(path.read_text()) if path.exists() else {}
    score = content.get("score", {}) | {"log": str(location), "random_sample": 0.0}
    path.write_text(yaml.safe_dump(content | {"score": score, "retention": retention}))
    return load_params(path)


def objects(location: S3Location, day: str = "") -> list[str]:
    return [item.name for item in ObjectStore(location).list(f"day={day}")]


def removed(summary: PruneSummary) -> list[str]:
    return [item.day for item in summary.removed]


def test_days_that_were_scored_into_a_store_go_for_all_machines(
    project: Params, location: S3Location, machine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_module, "_COMMIT_SECONDS", 0.0)  # a part for each batch
    params = limited(project.root, location, log_days=10)
    for number, day in enumerate((DAY, LATER)):
        for image in range(12):
            path = params.root / "feed" / day / "bolt" / f"{image}.png"
            picture(path, 100 * number + image, "bolt")
        score_place(params.root / "feed" / day, params, progress=False)
    shutil.rmtree(params.state / "inbox", ignore_errors=True)  # all is reviewed
    other = machine("other")
    assert len(read(other)) == 24
    assert len(objects(location, DAY)) == 3

    monkeypatch.chdir(params.root)
    command = ["prune", "--json"]
    planned = CliRunner().invoke(app, [*command, "--dry-run"], catch_exceptions=False)
    assert len(read(other)) == 24
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found == json.loads(planned.stdout) | {"dry_run": False}
    assert [(item["kind"], item["day"]) for item in found["removed"]] == [("log", DAY)]
    assert any("newest window of 'production'" in line for line in prune(params).kept)

    for store in (score_log(params), other, machine("new")):
        assert set(read(store)["day"]) == {LATER}
        assert pruned_days(store) == {DAY}
    (left,) = objects(location, DAY)
    assert "part-compact-" in left
    (copy,) = (params.root.parent / "other" / f"day={DAY}").rglob("*.parquet")
    assert copy.name.endswith(left.rpartition("/")[2]), "copies of what is gone have gone, too"
    assert prune(params).removed == []


def test_a_prune_that_was_killed_is_finished_by_a_compaction(
    tmp_path: Path, location: S3Location, machine: Open
) -> None:
    params = limited(tmp_path, location, log_days=10)
    for number in range(5):
        append(machine("line"), frame(row(number, day=DAYS[0])))
    append(machine("line"), frame(row(9, day=DAYS[29])))

    def killed() -> None:
        S3Parts.remove = lambda *_: os._exit(9)  # type: ignore[method-assign]
        prune(params, today=TODAY)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == 9
    assert list(read(machine("reader"))["day"]) == [DAYS[29]], "the rows are gone already"
    assert len(objects(location, DAYS[0])) > 5
    assert compact(machine("line")).removed > 5
    assert len(objects(location, DAYS[0])) == 1
    assert prune(params, today=TODAY).removed == []


def test_a_writer_and_a_reader_go_on_while_their_day_is_pruned(
    tmp_path: Path, location: S3Location, machine: Open
) -> None:
    params, day = limited(tmp_path, location, log_days=10), DAYS[0]
    append(machine("line"), frame(row(99, day=DAYS[29])))
    logged: list[int] = []

    def write() -> None:
        writer = LogWriter(machine("line"), day, VERSION)
        for number in range(12):
            logged.append(len(writer.append([row(number, day=day), row(number + 1, day=day)])))

    line, reader, pruned = threading.Thread(target=write), machine("reader"), 0
    line.start()
    while line.is_alive():
        pruned += len(removed(prune(params, today=TODAY)))
        assert read(reader, days=day)["sha256"].is_unique
    line.join()
    assert sum(logged) == 13, "what was pruned is not logged once more by the same writer"
    assert pruned > 0
    prune(params, today=TODAY)
    assert list(read(machine("new"))["day"]) == [DAYS[29]]
    assert Partition(day, VERSION) in reader.partitions()


def test_a_size_is_known_without_fetching_what_stays(
    tmp_path: Path, location: S3Location, machine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, day in enumerate(DAYS[:6]):
        append(machine("line"), frame(*(row(100 * number + each, day=day) for each in range(50))))
    each = sum(item.size for item in ObjectStore(location).list()) / 6
    params = limited(tmp_path, location, log_gib=4.5 * each / 2**30)
    fetched, get_bytes = [], ObjectStore.get_bytes

    def get(store: ObjectStore, name: str, *, limit: int) -> tuple[bytes, str]:
        fetched.append(name)
        return get_bytes(store, name, limit=limit)

    monkeypatch.setattr(ObjectStore, "get_bytes", get)
    assert removed(prune(params, dry_run=True, today=TODAY)) == DAYS[:2]
    assert removed(prune(params, today=TODAY)) == DAYS[:2]
    assert {name[:14] for name in fetched if "day=" in name} == {f"day={day}" for day in DAYS[:2]}
    assert set(read(machine("new"))["day"]) == {*DAYS[2:6]}
