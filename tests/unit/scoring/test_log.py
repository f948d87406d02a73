import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from normscape.errors import NormscapeError, UsageError
from normscape.scoring.local_parts import LocalParts
from normscape.scoring.log import LogWriter, append, days, read, versions
from normscape.scoring.parts import Partition, PartStore
from normscape.scoring.schema import SCHEMA, row_key

from .rows import DAY, VERSION, frame, row


def writer(store: PartStore) -> LogWriter:
    return LogWriter(store, DAY, VERSION)


def test_what_is_appended_is_read_back(store: PartStore) -> None:
    append(store, frame(row(2), row(1, error="truncated", score=None)))
    found = read(store)
    assert list(found.columns) == SCHEMA.names
    assert found["path"].str[-7:].tolist() == ["001.png", "002.png"]
    assert found["flagged"].tolist() == [False, True]
    assert found["score"].isna().tolist() == [True, False]
    assert found["declared_category"].tolist() == ["brick", "brick"]
    assert str(found["scored_at"].iloc[0]) == "2026-03-14 12:00:00+00:00"


def test_a_part_per_day_and_version(store: PartStore) -> None:
    parts = append(
        store, frame(row(1), row(2, day="2026-03-15"), row(3, model_version="v0002"), row(4))
    )
    assert parts == [
        "day=2026-03-14/model=v0001/part-00000001.parquet",
        "day=2026-03-14/model=v0002/part-00000001.parquet",
        "day=2026-03-15/model=v0001/part-00000001.parquet",
    ]
    assert days(store) == ["2026-03-14", "2026-03-15"]
    assert days(store, model_version="v0002") == ["2026-03-14"]


def test_only_the_wanted_partitions_are_opened(tmp_path: Path) -> None:
    store = LocalParts(tmp_path)
    append(store, frame(row(1)))
    other = append(store, frame(row(2, day="2026-03-15")))[0]
    (tmp_path / other).write_bytes(b"damaged")
    assert len(read(store, days=DAY)) == 1
    assert read(store, days=[DAY], columns=["score"])["score"].tolist() == [1.0]
    assert len(read(store, days=DAY, model_version="v0009")) == 0
    with pytest.raises(NormscapeError, match=r"part-.*not a readable part"):
        read(store)


def test_one_category_is_the_declared_else_the_predicted_one(store: PartStore) -> None:
    append(
        store,
        frame(
            row(1),
            row(2, declared_category=None),
            row(3, declared_category="gravel"),
            row(4, declared_category=None, predicted_category="gravel"),
            row(5, declared_category="gravel", error="truncated", predicted_category=None),
            row(6, declared_category=None, error="truncated", predicted_category=None),
        ),
    )
    assert read(store, category="brick")["score"].tolist() == [1.0, 2.0]
    assert read(store, category="gravel", columns=["score"])["score"].tolist() == [3.0, 4.0, 5.0]
    assert len(read(store, category="washer")) == 0


def test_an_empty_log_has_all_columns(store: PartStore) -> None:
    assert list(read(store).columns) == SCHEMA.names
    assert days(store) == []


@pytest.mark.parametrize("version", [b"3", b"0", None])
def test_another_format_is_refused(tmp_path: Path, version: bytes | None) -> None:
    store = LocalParts(tmp_path)
    part = tmp_path / append(store, frame(row(1)))[0]
    table = pq.read_table(part).replace_schema_metadata(
        {b"normscape.score_log": version} if version else None
    )
    pq.write_table(table, part)
    with pytest.raises(NormscapeError, match=r"has version \d .*reads versions 1 to 2"):
        read(store)


def test_a_log_of_version_1_still_reads() -> None:
    """`log_v1` was written by the code of that time: 7 rows of v0001 in two parts, 1 of v0002."""
    store = LocalParts(Path(__file__).parent / "log_v1")
    assert days(store) == ["2026-03-14", "2026-03-15"]
    rows = read(store, model_version="v0001")
    assert list(rows.columns) == SCHEMA.names
    assert rows["score"].dropna().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert rows["error"].dropna().tolist() == ["cannot be read"]
    assert read(store, category="gravel")["score"].tolist() == [2.0, 3.0, 5.0]
    assert LogWriter(store, DAY, VERSION).append([row(4)]) == []


def test_columns_that_a_part_lacks_are_null(tmp_path: Path) -> None:
    store = LocalParts(tmp_path)
    part = tmp_path / append(store, frame(row(1)))[0]
    table = pq.read_table(part)
    pq.write_table(table.drop_columns("sharpness"), part)
    assert read(store)["sharpness"].isna().all()
    assert read(store)["score"].tolist() == [1.0]


@pytest.mark.parametrize("day", ["2026-3-14", "../..", "20260314", "2026-02-30", ""])
def test_a_day_must_be_a_day(tmp_path: Path, day: str) -> None:
    with pytest.raises(UsageError, match="not a day"):
        append(LocalParts(tmp_path), frame(row(1, day=day)))
    with pytest.raises(UsageError, match="not a day"):
        read(LocalParts(tmp_path), days=day)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["../v1", "", "a/b", "."])
def test_a_version_cannot_leave_the_log(tmp_path: Path, version: str) -> None:
    with pytest.raises(UsageError, match="model version"):
        append(LocalParts(tmp_path), frame(row(1, model_version=version)))


def test_foreign_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    store = LocalParts(tmp_path)
    append(store, frame(row(1)))
    partition = tmp_path / Partition(DAY, VERSION).path
    (partition / ".part-00000002.x.tmp.parquet").write_bytes(b"of a writer that was killed")
    (partition / "notes.txt").write_text("a person's")
    (tmp_path / "day=tomorrow" / "model=v1").mkdir(parents=True)
    assert len(read(store)) == 1
    assert len(writer(store).append([row(1), row(2)])) == 1


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(NormscapeError, match="threshold"):
        append(LocalParts(tmp_path), frame(row(1)).drop(columns="threshold"))


def test_a_writer_logs_nothing_twice(store: PartStore) -> None:
    first, second = writer(store), writer(store)
    assert len(first.append([row(1), row(2), row(2)])) == 2
    assert [r["score"] for r in second.append([row(2), row(3)])] == [3.0]
    assert second.knows(f"{1:064x}")
    assert not first.knows(f"{3:064x}")
    assert writer(store).append([row(1), row(2), row(3)]) == []
    assert len(read(store)) == 3


def test_unreadable_files_are_told_apart_by_their_path(store: PartStore) -> None:
    log = writer(store)
    rows = [row(n, sha256=None, error="cannot be read") for n in (1, 2, 1)]
    assert len(log.append(rows)) == 2
    assert row_key(None, "a") != row_key(None, "b")


def test_a_missing_part_is_noticed(tmp_path: Path) -> None:
    store = LocalParts(tmp_path)
    log = writer(store)
    for number in range(3):
        log.append([row(number)])
    store.remove(Partition(DAY, VERSION), "part-00000002.parquet")
    with pytest.raises(NormscapeError, match="parts of the score log are missing"):
        read(store)


@pytest.mark.slow
def test_writers_in_many_processes(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from rows import DAY, VERSION, row\n"
        "from normscape.scoring.local_parts import LocalParts\n"
        "from normscape.scoring.log import LogWriter\n"
        "from pathlib import Path\n"
        "for start in range(0, 40, 4):\n"
        "    writer = LogWriter(LocalParts(Path(sys.argv[2])), DAY, VERSION)\n"
        "    writer.append([row(n) for n in range(start, start + 8)])\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(read(LocalParts(tmp_path))["score"]) == [float(n) for n in range(44)]


def test_the_order_of_rows_can_be_left_out(store: PartStore) -> None:
    append(store, frame(row(2), row(1)))
    append(store, frame(row(3, model_version="v0002"), row(0)))
    some = ["sha256", "score"]
    found = read(store, columns=some, ordered=False)
    assert list(found.columns) == some
    assert sorted(found["sha256"]) == sorted(read(store)["sha256"])


def test_the_versions_that_scored_on_some_days(store: PartStore) -> None:
    append(store, frame(row(1), row(2, model_version="v0002"), row(3, day="2026-03-15")))
    assert versions(store, [DAY]) == {"v0001", "v0002"}
    assert versions(store, ["2026-03-15"]) == {VERSION}
    assert versions(store, []) == set()
