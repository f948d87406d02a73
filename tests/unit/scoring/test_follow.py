"""A scorer that follows `production`, as a process of its own."""

import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from normscape.errors import NormscapeError, UsageError
from normscape.params import Params, load_params
from normscape.registry.contract import PRODUCTION
from normscape.registry.local import LocalRegistry
from normscape.registry.store import open_registry
from normscape.retention import prune as prune_module
from normscape.retention.needs import Needs
from normscape.retention.prune import prune
from normscape.scoring.feed import Feed
from normscape.scoring.follow import follow
from normscape.scoring.handover import read_handover, record_path, require_window
from normscape.scoring.log import append, read
from normscape.scoring.parts import Partition
from normscape.scoring.paths import score_log
from normscape.scoring.retire import retire

from .conftest import Start
from .project import DAY, PARAMS, picture
from .rows import frame, row

_PATIENCE = 90.0
WINDOW = 5


def settings(project: Params, **score: object) -> Params:
    changed = {**PARAMS, "score": {**PARAMS["score"], "poll_seconds": 0.2, **score}}
    (project.root / "params.yaml").write_text(yaml.safe_dump(changed))
    return load_params(project.root / "params.yaml")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


class Line(threading.Thread):
    """Puts an image into the feed several times a second, over two days."""

    def __init__(self, feed: Path) -> None:
        super().__init__(daemon=True)
        self.feed = feed
        self.made: list[Path] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.15):
            number = len(self.made)
            category = ("bolt", "nut")[number % 2]
            day = DAY if number < 20 else "2026-03-15"
            path = self.feed / day / category / f"{number:04d}.png"
            self.made.append(picture(path, 20_000 + number, category))


@contextmanager
def scoring(
    root: Path, place: Path, *options: str, errors: Path = Path(os.devnull)
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "normscape.cli", "score", str(place), *options]
    with errors.open("ab") as stream:
        process = subprocess.Popen(
            command, cwd=root, stdout=subprocess.DEVNULL, stderr=stream,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(_PATIENCE) == 0


def served(params: Params, version: str) -> int:
    return len(read(score_log(params), model_version=version, columns=["path"]))


def promote(params: Params, version: str) -> None:
    registry = open_registry(params)
    registry.set_alias(
        PRODUCTION, version, expected=registry.alias_state(PRODUCTION), reason="test"
    )


def damage(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken v0003 in production, which the registry was kept from verifying."""
    registry = open_registry(params)
    assert registry.register(params.root / "bundle", reason="third") == "v0003"
    weights = registry.get("v0003") / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-100])
    monkeypatch.setattr(LocalRegistry, "verify", lambda *_: None)
    promote(params, "v0003")


@pytest.mark.slow
def test_production_moves_while_images_arrive(
    project: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = settings(project, window_images=WINDOW)
    feed, errors = project.root / "feed", tmp_path / "errors"
    feed.mkdir()
    open_registry(params).register(project.root / "bundle", reason="second")
    line = Line(feed)
    line.start()

    def is_over(version: str, more: int) -> Callable[[], bool]:
        before = served(params, version)

        def check() -> bool:
            assert process.poll() is None, errors.read_text()
            last = read_handover(params)
            done = last is not None and last.version == version and last.finished is not None
            return done and served(params, version) >= before + more

        return check

    with scoring(project.root, feed, "--follow", errors=errors) as process:
        until(is_over("v0001", 8))
        for version in ("v0002", "v0001", "v0002"):
            waits = is_over(version, 4)
            promote(params, version)
            until(waits)
        damage(params, monkeypatch)
        until(lambda: "v0003 cannot serve, v0002 goes on" in errors.read_text())
        until(is_over("v0002", 4))
        process.kill()
        process.wait()
    # After a kill -9, with production still damaged, the version that served goes on.
    with scoring(project.root, feed, "--follow", errors=errors) as process:
        until(is_over("v0002", 4))
        line.over.set()
        line.join()
        until(lambda: read(score_log(params))["path"].nunique() == len(line.made))
        end(process)

    rows = read(score_log(params))
    assert rows["error"].isna().all()
    assert not rows.duplicated(["sha256", "model_version"]).any()
    assert set(rows["path"]) == {str(path.relative_to(project.root)) for path in line.made}
    assert set(rows["model_version"]) == {"v0001", "v0002"}
    twice = rows.duplicated("sha256").sum()
    assert WINDOW <= twice <= 3 * WINDOW
    warnings = [text for text in errors.read_text().splitlines() if "v0003" in text]
    assert len(warnings) == 2, "one of each process"


def test_an_image_is_offered_when_it_has_settled(tmp_path: Path, store) -> None:
    feed = Feed(tmp_path, tmp_path, store)
    path = picture(tmp_path / DAY / "bolt" / "a.png", 1, "bolt")
    assert feed.look() == ({}, [])
    with path.open("ab") as stream:
        stream.write(b"more")
    assert feed.look() == ({}, [])
    offered, _ = feed.look()
    assert [source.path for source in offered[DAY]] == [path]
    feed.settle(offered[DAY])
    assert feed.look() == ({}, [])
    picture(path, 2, "bolt")
    assert feed.look() == ({}, [])
    assert feed.look()[0]
    (tmp_path / DAY / "bolt" / "deep").mkdir()
    assert "deep is a folder inside" in feed.look()[1][0]


def test_a_version_is_not_judged_before_its_window(tmp_path: Path) -> None:
    project = Params(root=tmp_path)
    record_path(project).parent.mkdir(parents=True)
    require_window(project, "v0002")
    record = {"version": "v0002", "since": "2026-03-14T00:00:00+00:00", "before": "v0001",
              "window": [[DAY, "feed/a.png", None]], "finished": None}  # fmt: skip
    record_path(project).write_text(json.dumps(record))
    with pytest.raises(NormscapeError, match="v0002 is not judged yet"):
        require_window(project, "v0002")
    require_window(project, "v0001")
    record_path(project).write_text(json.dumps({**record, "finished": "2026-03-14"}))
    require_window(project, "v0002")
    record_path(project).write_text("[]")
    with pytest.raises(NormscapeError, match="remove it"):
        require_window(project, "v0002")


def test_only_a_folder_is_followed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a feed"):
        follow(tmp_path / "gone", Params(root=tmp_path), say=print, warn=print, stop=lambda: True)


@pytest.mark.slow
def test_pruning_while_a_process_scores(
    project: Params, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old and a new day come while rows and maps are pruned, also those that may be needed."""
    new, feed = datetime.datetime.now(datetime.UTC).date().isoformat(), project.root / "feed"
    for number, day in enumerate((DAY, new)):
        for image in range(24):
            picture(feed / day / "bolt" / f"{image}.png", 100 * number + image, "bolt")
    limit = project.retention.model_copy(update={"log_days": 1, "maps_days": 1})
    params = project.model_copy(update={"retention": limit})
    nothing = Needs({}, frozenset(), frozenset())
    monkeypatch.setattr(prune_module, "find_needs", lambda *_: nothing)
    monkeypatch.setattr(prune_module, "_FRESH_SECONDS", -60.0)
    pruned = 0
    for day in (DAY, new):
        process = start("score", str(project.root), str(feed / day))
        while process.is_alive():
            pruned += len(prune(params).removed)
            assert read(score_log(params))["sha256"].is_unique
        assert process.exitcode == 0
    prune(params)
    rows = read(score_log(params))
    assert pruned > 0
    assert list(rows["day"]) == [new] * 24
    assert not list((params.state / "maps").glob(f"*/{DAY}/*"))


def test_days_that_were_pruned_are_not_scored_again(tmp_path: Path) -> None:
    project = Params(root=tmp_path)
    folder, store = project.root / "feed", score_log(project)
    picture(folder / DAY / "bolt" / "a.png", 1, "bolt")
    append(store, frame(row(1, path=f"feed/{DAY}/bolt/a.png")))
    assert retire(store, Partition(DAY, "v0001"))
    feed = Feed(folder, project.root, store)
    assert [feed.look() for _ in range(3)] == [({}, [])] * 3
