import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from normscape.errors import NormscapeError, UsageError
from normscape.scoring.log import SCHEMA, LogWriter, append, days, read, row_key

DAY, VERSION = "2026-03-14", "v0001"


def row(number: int, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    values |= {
        "path": f"feed/{DAY}/brick/{number:03d}.png",
        "sha256": f"{number:064x}",
        "day": DAY,
        "declared_category": "brick",
        "predicted_category": "brick",
        "score": float(number),
        "flagged": number % 2 == 0,
        "model_version": VERSION,
        "scored_at": datetime(2026, 3, 14, 12, 0, tzinfo=UTC),
    }
    return values | changes


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))[SCHEMA.names]


def writer(root: Path) -> LogWriter:
    return LogWriter(root / "scores", DAY, VERSION, root / "lock")


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    append(tmp_path, frame(row(2), row(1, error="truncated", score=None)))
    found = read(tmp_path)
    assert list(found.columns) == SCHEMA.names
    assert found["path"].str[-7:].tolist() == ["001.png", "002.png"]
    assert found["flagged"].tolist() == [False, True]
    assert found["score"].isna().tolist() == [True, False]
    assert found["declared_category"].tolist() == ["brick", "brick"]
    assert str(found["scored_at"].iloc[0]) == "2026-03-14 12:00:00+00:00"


def test_a_part_per_day_and_version(tmp_path: Path) -> None:
    parts = append(tmp_path, frame(row(1), row(2, day="2026-03-15"), row(3, model_version="v0002")))
    assert sorted(part.parent.relative_to(tmp_path).as_posix() for part in parts) == [
        "day=2026-03-14/model=v0001",
        "day=2026-03-14/model=v0002",
        "day=2026-03-15/model=v0001",
    ]
    assert days(tmp_path) == ["2026-03-14", "2026-03-15"]
    assert days(tmp_path, model_version="v0002") == ["2026-03-14"]


def test_only_the_wanted_partitions_are_opened(tmp_path: Path) -> None:
    append(tmp_path, frame(row(1)))
    other = append(tmp_path, frame(row(2, day="2026-03-15")))[0]
    other.write_bytes(b"damaged")
    assert len(read(tmp_path, days=DAY)) == 1
    assert read(tmp_path, days=[DAY], columns=["score"])["score"].tolist() == [1.0]
    assert len(read(tmp_path, days=DAY, model_version="v0009")) == 0
    with pytest.raises(NormscapeError, match=r"part-.*not a readable part"):
        read(tmp_path)


def test_an_empty_log_has_all_columns(tmp_path: Path) -> None:
    assert list(read(tmp_path / "nowhere").columns) == SCHEMA.names


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    part = append(tmp_path, frame(row(1)))[0]
    table = pq.read_table(part).replace_schema_metadata({b"normscape.score_log": b"2"})
    pq.write_table(table, part)
    with pytest.raises(NormscapeError, match="version 2"):
        read(tmp_path)


@pytest.mark.parametrize("day", ["2026-3-14", "../..", "20260314", "2026-02-30", ""])
def test_a_day_must_be_a_day(tmp_path: Path, day: str) -> None:
    with pytest.raises(UsageError, match="not a day"):
        append(tmp_path, frame(row(1, day=day)))
    with pytest.raises(UsageError, match="not a day"):
        read(tmp_path, days=day)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["../v1", "", "a/b", "."])
def test_a_version_cannot_leave_the_log(tmp_path: Path, version: str) -> None:
    with pytest.raises(UsageError, match="model version"):
        append(tmp_path, frame(row(1, model_version=version)))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(NormscapeError, match="threshold"):
        append(tmp_path, frame(row(1)).drop(columns="threshold"))


def test_a_writer_logs_nothing_twice(tmp_path: Path) -> None:
    first, second = writer(tmp_path), writer(tmp_path)
    assert len(first.append([row(1), row(2), row(2)])) == 2
    assert [r["score"] for r in second.append([row(2), row(3)])] == [3.0]
    assert second.knows(f"{1:064x}")
    assert not first.knows(f"{3:064x}")
    assert writer(tmp_path).append([row(1), row(2), row(3)]) == []
    assert len(read(tmp_path / "scores")) == 3


def test_unreadable_files_are_told_apart_by_their_path(tmp_path: Path) -> None:
    log = writer(tmp_path)
    rows = [row(n, sha256=None, error="cannot be read") for n in (1, 2, 1)]
    assert len(log.append(rows)) == 2
    assert row_key(None, "a") != row_key(None, "b")


def test_writers_in_many_processes(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_log import row, writer\n"
        "from pathlib import Path\n"
        "for start in range(0, 40, 4):\n"
        "    writer(Path(sys.argv[2])).append([row(n) for n in range(start, start + 8)])\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(read(tmp_path / "scores")["score"]) == [float(n) for n in range(44)]
