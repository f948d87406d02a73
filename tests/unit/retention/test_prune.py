"""What `normscape prune` removes, and what it never does."""

import datetime
import json
import os
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from monitoring.workspace import run_id
from normscape.alerts import EVENT, Alert, AlertStore, Finding, Kind, Severity
from normscape.cli.main import app
from normscape.errors import NormscapeError
from normscape.files import write_json
from normscape.params import Params, load_params
from normscape.retention.prune import PruneSummary, prune
from normscape.scoring.inbox import Inbox
from normscape.scoring.log import append, read
from normscape.scoring.paths import overlay_path, score_log
from normscape.scoring.record import Record
from tests.unit.scoring.rows import frame, row

TODAY = datetime.date(2026, 3, 31)
DAYS = [f"2026-03-{number:02d}" for number in range(1, 31)]


def make(root: Path, **retention: object) -> Params:
    (root / "params.yaml").write_text(yaml.safe_dump({"retention": retention}))
    return load_params(root / "params.yaml")


def fill(params: Params, days: list[str] = DAYS) -> None:
    """A row, two pictures and a page a day; nothing is fresh."""
    for number, day in enumerate(days):
        append(score_log(params), frame(row(number, day=day)))
        for name in (f"{number:064x}", f"{number:064x}.map"):
            path = overlay_path(params, "v0001", day, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 1024)
            os.utime(path, (time.time() - 7200,) * 2)
        page = params.state / "monitor" / day
        write_json(page / "verdicts.json", {})
        (page / "report.html").write_text("page")
        write_json(runs_of(params) / f"{run_id(day, 'v0001')}.json", {})


def runs_of(params: Params) -> Path:
    return params.state / "monitor" / "workspace" / "project" / "snapshots"


def unsent_alert(params: Params, day: str) -> Path:
    now = datetime.datetime.now(datetime.UTC)
    figures = {"category": "brick", "days_silent": 1, "usual_per_day": 9.0, "last_image_day": day}
    finding = Finding(Kind.TRAFFIC, "brick", Severity.WARNING, "no image of brick", figures)
    alert = Alert.opened(finding, day, "v0001", now).noticed("opened", [EVENT], now)
    store = AlertStore.of(params)
    store.save([alert])
    return store.folder / f"{alert.id}.json"


def wait_for_review(params: Params, number: int) -> None:
    sha256, day = f"{number:064x}", DAYS[number]
    record = Record(
        sha256=sha256, source="a.png", day=day, reasons=("flagged",), declared=None,
        predicted="brick", score=1.0, p_value=0.01, threshold=0.5, model_version="v0001",
    )  # fmt: skip
    folder = params.state / "inbox" / sha256
    folder.mkdir(parents=True)
    (folder / "image.png").write_bytes(b"image")
    write_json(folder / "record.json", record.as_dict())
    assert Inbox.of(params).get(sha256) == record


def content(params: Params) -> dict[Path, int]:
    files = (path for path in params.state.rglob("*") if path.is_file())
    return {path: path.stat().st_size for path in files if path.suffix != ".lock"}


def names(summary: PruneSummary, kind: str) -> list[str]:
    return [item.day for item in summary.removed if item.kind == kind]


def test_nothing_is_removed_without_a_limit(tmp_path: Path) -> None:
    params = make(tmp_path)
    fill(params, DAYS[:3])
    before = content(params)
    assert prune(params, today=TODAY).removed == []
    assert content(params) == before


def test_a_dry_run_says_what_a_run_removes(tmp_path: Path) -> None:
    params = make(tmp_path, log_days=10, maps_days=20, monitor_days=25)
    fill(params)
    before = content(params)
    planned = prune(params, dry_run=True, today=TODAY)
    assert content(params) == before
    done = prune(params, today=TODAY)
    assert (done.removed, done.kept) == (planned.removed, planned.kept)
    assert names(done, "log") == DAYS[:20]
    assert names(done, "maps") == DAYS[:10]
    assert names(done, "monitor") == DAYS[:5]
    kept = {path.stem for path in runs_of(params).iterdir()}
    assert kept == {run_id(day, "v0001") for day in DAYS[5:]}
    assert sorted(read(score_log(params))["day"]) == DAYS[20:]
    assert len(list((params.state / "maps").rglob("*.png"))) == 2 * 20
    assert done.bytes > 0
    assert prune(params, today=TODAY).removed == [], "the second time there is nothing left"


def test_a_size_removes_the_oldest_days(tmp_path: Path) -> None:
    params = make(tmp_path, maps_gib=10 * 2048 / 2**30)
    fill(params)
    assert names(prune(params, today=TODAY), "maps") == DAYS[:20]


def test_what_waits_is_kept(tmp_path: Path) -> None:
    params = make(tmp_path, log_days=1, maps_days=1, monitor_days=1)
    fill(params)
    wait_for_review(params, 4)
    alert = unsent_alert(params, DAYS[6])
    done = prune(params, today=TODAY)
    assert set(DAYS) - set(names(done, "log")) == {DAYS[4], DAYS[6], DAYS[29]}
    pictures = list((params.state / "maps").rglob("*.png"))
    assert overlay_path(params, "v0001", DAYS[4], f"{4:064x}") in pictures
    assert len(pictures) == 2 + 1
    assert set(DAYS) - set(names(done, "monitor")) == {DAYS[6], DAYS[29]}
    assert any("wait for review" in line for line in done.kept)
    alert.write_text("{")
    with pytest.raises(NormscapeError, match="does not hold an alert"):
        prune(params, today=TODAY)


def test_pictures_just_written_are_kept(tmp_path: Path) -> None:
    params = make(tmp_path, maps_days=1)
    fill(params, DAYS[:1])
    fresh = overlay_path(params, "v0001", DAYS[0], f"{9:064x}")
    fresh.write_bytes(b"x")
    prune(params, today=TODAY)
    assert list((params.state / "maps").rglob("*.png")) == [fresh]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = make(tmp_path, log_days=1)
    fill(params, DAYS[:3])
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["prune", "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert [item["day"] for item in found["removed"]] == DAYS[:3]
    assert not found["dry_run"]
    assert len(read(score_log(params))) == 0
