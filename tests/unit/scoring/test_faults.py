"""What happens to scoring when processes, disks, clocks and stores fail; see docs/scoring.md."""

import datetime
import os
import shutil
import types
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.params import Params
from normscape.scoring import day as day_module
from normscape.scoring.array import read_map
from normscape.scoring.compact import compact
from normscape.scoring.inbox import Inbox
from normscape.scoring.listing import list_images
from normscape.scoring.log import read
from normscape.scoring.parts import PartStore
from normscape.scoring.paths import map_path, overlay_path, score_log
from normscape.scoring.run import open_version, score_days, score_place
from normscape.scoring.scorer import Scorer
from normscape.scoring.source import ObjectSource
from normscape.scoring.summary import ScoreSummary
from normscape.storage.client import StoreError
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET

from . import scoring_child
from .conftest import Start
from .project import DAY, fill_day, picture

pytestmark = pytest.mark.slow
REPETITIONS = int(os.environ.get("NORMSCAPE_RACES", "5"))


def finish(params: Params, place: str | Path) -> ScoreSummary:
    return score_place(place, params, maps="both", progress=False)[0]


def complete(params: Params, day: str, total: int) -> None:
    """Every image is logged once, and has all that its row promises."""
    rows = read(score_log(params), days=day)
    assert len(rows) == total
    assert rows["sha256"].is_unique
    assert rows["error"].isna().all()
    for row in rows.itertuples():
        assert read_map(map_path(params, "v0001", day, row.sha256)).score == row.score
        if row.flagged:
            Image.open(overlay_path(params, "v0001", day, row.sha256)).verify()
            record = Inbox.of(params).get(row.sha256)
            assert record is not None
            assert Inbox.of(params).image(record) is not None


@pytest.mark.parametrize("point", scoring_child.POINTS)
def test_killed_at_a_point_and_run_again(project: Params, start: Start, point: str) -> None:
    days = [f"2026-03-{number + 1:02d}" for number in range(28)]
    version, bundle = open_version(project, "production")
    scorer = Scorer.open(bundle, root=project.root, cache=project.state / "cache")
    for first in range(0, REPETITIONS, len(days)):
        some = days[: REPETITIONS - first]
        folders = [
            fill_day(project.root, count=2, day=day, seed=5000 + 1000 * (first + number))
            for number, day in enumerate(some)
        ]
        calls = [1 + number % 3 for number in range(len(some))]
        child = start("killed", str(project.root), [str(f) for f in folders], point, calls)
        child.join()
        assert child.exitcode == len(some), "every one of them was killed"
        logged = {day: read(score_log(project), days=day) for day in some}
        again = [found for folder in folders for found in list_images(folder, project.root)]
        for summary in score_days(again, scorer, version, project, maps="both", progress=False):
            day, before = summary.day, logged.pop(summary.day)
            assert (summary.logged, summary.skipped) == (12 - len(before), len(before))
            after = read(score_log(project), days=day).set_index("sha256")
            assert after.loc[before["sha256"]].reset_index()[before.columns].equals(before)
            complete(project, day, 12)
        assert not logged
        for name in ("feed", "scores", "maps", "inbox"):
            shutil.rmtree(project.root / name, ignore_errors=True)
            shutil.rmtree(project.state / name, ignore_errors=True)


@pytest.mark.parametrize("how", ["files of 4 KiB", "no space for the log", "read-only folder"])
def test_nothing_can_be_written(project: Params, start: Start, how: str) -> None:
    folder = fill_day(project.root)
    if how == "read-only folder":
        project.state.chmod(0o555)
    child = start("hindered", str(project.root), str(folder), how)
    child.join()
    project.state.chmod(0o755)
    assert child.exitcode == scoring_child.REFUSED
    assert len(read(score_log(project))) == 0
    finish(project, folder)
    complete(project, DAY, 20)


def test_a_clock_that_goes_back_and_a_day_to_come(
    project: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(datetime.datetime(2026, 3, 14, tzinfo=datetime.UTC) - datetime.timedelta(n)
                 for n in range(100))  # fmt: skip
    clock = types.SimpleNamespace(now=lambda _: next(times))
    skewed = types.SimpleNamespace(datetime=clock, UTC=datetime.UTC)
    monkeypatch.setattr(day_module, "datetime", skewed)
    monkeypatch.setattr(day_module, "_COMMIT_SECONDS", 0.0)
    for day in (DAY, "2999-12-31"):
        folder = fill_day(project.root, day=day)
        assert finish(project, folder).logged == 20
        assert finish(project, folder).logged == 0
        complete(project, day, 20)
    assert not read(score_log(project))["scored_at"].is_monotonic_increasing


@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_two_scorers_and_a_compaction_at_once(
    project: Params, start: Start, repetition: int
) -> None:
    folder = fill_day(project.root, count=10, seed=1000 * repetition)
    processes = [start("score", str(project.root), str(folder)) for _ in range(2)]
    while any(process.is_alive() for process in processes):
        compact(score_log(project), min_parts=2)
        assert read(score_log(project))["sha256"].is_unique
    assert [process.exitcode for process in processes] == [0, 0]
    rows = read(score_log(project))
    assert len(rows) == 28
    assert rows["sha256"].is_unique


def on_s3(params: Params, place: str) -> Params:
    return params.model_copy(update={"score": params.score.model_copy(update={"log": place})})


@pytest.fixture(params=["moto", "seaweedfs"])
def line(request: pytest.FixtureRequest, project: Params, use_s3) -> ObjectStore:
    """An object store with the images of a day below `feed/`."""
    use_s3(request.getfixturevalue(f"{request.param}_environment"))
    store = ObjectStore(S3Location(BUCKET, f"line-{uuid.uuid4().hex}"))
    folder = fill_day(project.root)
    for path in folder.rglob("*.png"):
        store.put(f"feed/{DAY}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    shutil.rmtree(folder)
    return store


def test_images_and_log_in_an_object_store(project: Params, line: ObjectStore) -> None:
    params = on_s3(project, f"{line.location}/scores")
    short = line.get_bytes(f"feed/{DAY}/bolt/000.png", limit=1 << 20)[0][:300]
    line.put(f"feed/{DAY}/bolt/short.png", short)
    place = f"{line.location}/feed/{DAY}"
    summary = finish(params, place)
    assert (summary.found, summary.logged, len(summary.errors)) == (21, 21, 1)
    rows = read(score_log(params)).set_index("path")
    assert rows.loc[f"{place}/bolt/short.png", "error"]
    assert set(rows["declared_category"].dropna()) == {"bolt", "nut", "washer"}
    assert not (params.state / "scores").exists()
    for record in Inbox.of(params).records():
        assert Inbox.of(params).image(record) is not None
        assert record.source.startswith(place)
    again = finish(params, place)
    assert (again.logged, again.skipped) == (0, 21)
    assert compact(score_log(params), min_parts=2).partitions == 0
    line.put(f"feed/{DAY}/bolt/late.png", picture(params.root / "x.png", 77, "bolt").read_bytes())
    assert finish(params, place).logged == 1
    assert compact(score_log(params), min_parts=2).rows == 22
    assert finish(params, place).logged == 0


def test_machines_that_share_a_store_log_nothing_twice(
    project: Params, line: ObjectStore, tmp_path: Path, start: Start
) -> None:
    roots = [project.root, shutil.copytree(project.root, tmp_path / "other")]
    place, scores = f"{line.location}/feed/{DAY}", f"{line.location}/scores"
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    processes = [start("score", str(r), place, scores, environment) for r in roots]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    rows = read(score_log(on_s3(project, scores)))
    assert len(rows) == 20
    assert rows["sha256"].is_unique


def test_what_cannot_be_fetched_now_is_scored_by_the_next_run(
    project: Params, line: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, failing = ObjectSource.content, {f"bolt/{n:03d}.png" for n in range(2)}

    def content(self: ObjectSource) -> bytes:
        if self.key in failing:
            raise StoreError(f"{self.name}: no answer")
        return original(self)

    monkeypatch.setattr(ObjectSource, "content", content)
    place = f"{line.location}/feed/{DAY}"
    summary = finish(project, place)
    assert (summary.logged, len(summary.postponed)) == (18, 2)
    assert "2 postponed" in summary.explain()
    assert any("left for the next run" in text for text in summary.warnings(10))
    failing.clear()
    assert finish(project, place).logged == 2
    failing |= {source.removeprefix(place + "/") for source in read(score_log(project))["path"]}
    with pytest.raises(StoreError, match="5 images in a row could not be had"):
        finish(project, place)


def test_a_large_image_that_cannot_be_read_again_is_scored_by_the_next_run(
    project: Params, line: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{line.location}/feed/{DAY}"
    original, read_once = ObjectSource.content, set()

    def content(self: ObjectSource) -> bytes:
        if self.name in read_once:
            raise StoreError(f"{self.name}: no answer")
        read_once.add(self.name)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectSource, "content", content)
        patch.setattr(Scorer, "cuts", lambda *_: True)  # to large images belongs a second reading
        summary = finish(project, place)
    assert (summary.logged, len(summary.postponed)) == (0, 20)
    assert finish(project, place).logged == 20


def test_memory_does_not_grow_with_the_number_of_images(
    project: Params, start: Start, tmp_path: Path
) -> None:
    rng, peaks = np.random.default_rng(0), []
    ground = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(ground).save(tmp_path / "ground.png", compress_level=1)
    content = (tmp_path / "ground.png").read_bytes()
    for day, count in ((DAY, 40), ("2026-03-15", 200)):
        folder = project.root / "feed" / day / "bolt"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.png").write_bytes(content + number.to_bytes(2))  # each its hash
        child = start("peak", str(project.root), str(folder.parent), str(tmp_path / day))
        child.join()
        assert child.exitcode == 0
        peaks.append(int((tmp_path / day).read_text()))
    decoded = 160 * 512 * 512 * 3 // 1024  # KiB of the additional images
    assert peaks[1] - peaks[0] < decoded / 6


@pytest.mark.parametrize(
    "store", ["moto", pytest.param("seaweedfs", marks=pytest.mark.slow)], indirect=True
)
def test_a_store_that_ignores_conditions_is_refused(
    store: PartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ObjectStore.put
    monkeypatch.setattr(
        ObjectStore, "put", lambda self, name, content, **_: original(self, name, content)
    )
    from normscape.scoring.log import LogWriter

    from .rows import VERSION, row

    with pytest.raises(StoreError, match="ignores"):
        LogWriter(store, DAY, VERSION).append([row(1)])
