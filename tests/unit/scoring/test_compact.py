import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from normscape.errors import NormscapeError
from normscape.scoring.compact import Compacted, compact
from normscape.scoring.local_parts import LocalParts
from normscape.scoring.log import LogWriter, append, read
from normscape.scoring.parts import Partition, PartStore, numbered, snapshot

from .rows import DAY, VERSION, frame, row

HERE = Partition(DAY, VERSION)


def fill(store: PartStore, parts: int, start: int = 0) -> None:
    log = LogWriter(store, DAY, VERSION)
    for number in range(start, start + parts):
        name = ("brick", "gravel")[number % 2]
        log.append([row(2 * number + n, declared_category=name) for n in range(2)])


def scores(store: PartStore) -> list[float]:
    return sorted(read(store)["score"])


def test_many_parts_become_one_with_the_same_rows(store: PartStore) -> None:
    fill(store, 5)
    before = read(store)
    assert compact(store) == Compacted(partitions=1, before=5, rows=10, removed=5)
    assert store.names(HERE) == ["part-compact-00000005.parquet"]
    assert read(store).equals(before)
    assert compact(store, min_parts=2) == Compacted()
    fill(store, 4, start=5)
    assert snapshot(store, HERE).live[1:] == tuple(numbered(n) for n in (6, 7, 8, 9))
    assert compact(store).rows == 18
    assert store.names(HERE) == ["part-compact-00000009.parquet"]
    assert scores(store) == [float(n) for n in range(18)]


def test_few_parts_and_other_days_are_left_alone(store: PartStore) -> None:
    fill(store, 3)
    assert compact(store, min_parts=4) == Compacted()
    assert compact(store, day="2026-03-15", min_parts=2) == Compacted()
    assert len(store.names(HERE)) == 3


def test_rows_of_a_category_lie_together(tmp_path: Path) -> None:
    store = LocalParts(tmp_path)
    append(store, frame(*(row(n, declared_category=f"c{n % 3}") for n in range(30_000))))
    compact(store, min_parts=1)
    (part,) = tmp_path.rglob("part-*.parquet")
    groups = pq.ParquetFile(part).metadata
    column = next(i for i in range(20) if groups.schema.column(i).name == "declared_category")
    ranges = [
        (s.min, s.max) for s in (groups.row_group(g).column(column).statistics for g in range(4))
    ]
    assert ranges == [("c0", "c0"), ("c0", "c1"), ("c1", "c2"), ("c2", "c2")]
    assert len(read(store, category="c1")) == 10_000


def test_a_log_of_version_1_is_compacted(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parent / "log_v1", tmp_path, dirs_exist_ok=True)
    store = LocalParts(tmp_path)
    before = read(store)
    old = store.names(HERE)
    kept = [(name, store.fetch(HERE, name).read_bytes()) for name in old]
    LogWriter(store, DAY, VERSION).append([row(4), row(50)])
    assert compact(store, min_parts=2).before == 3
    assert len(read(store)) == len(before) + 1
    for name, content in kept:  # as if the compaction had been killed before it removed them
        store.fetch(HERE, name).write_bytes(content)
    assert len(read(store)) == len(before) + 1
    assert compact(store).removed == 2


class StoppedError(Exception):
    pass


class Watched(LocalParts):
    """Calls `hook` before every step that changes the log."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.hook: Callable[[], None] = lambda: None

    def claim(self, partition: Partition, name: str, content: bytes) -> bool:
        self.hook()
        return super().claim(partition, name, content)

    def remove(self, partition: Partition, name: str) -> None:
        self.hook()
        super().remove(partition, name)


@pytest.mark.parametrize("steps", range(7))
def test_a_compaction_killed_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, steps: int
) -> None:
    store, left = Watched(tmp_path), steps
    fill(store, 5)
    expected = scores(store)

    def stop() -> None:
        nonlocal left
        if left == 0:
            raise StoppedError
        left -= 1

    store.hook = stop
    if steps < 6:
        with pytest.raises(StoppedError):
            compact(store)
    else:
        compact(store)
    store.hook = lambda: None
    assert scores(store) == expected
    fill(store, 7)
    assert scores(store) == [float(n) for n in range(14)]
    compact(store, min_parts=2)
    assert scores(store) == [float(n) for n in range(14)]
    assert len(store.names(HERE)) == 1


def test_a_writer_that_paused_over_a_compaction_logs_once(tmp_path: Path) -> None:
    """It is given a number that the compaction has freed, sees it, and takes another."""
    store = Watched(tmp_path)
    log = LogWriter(store, DAY, VERSION)

    def meanwhile() -> None:
        store.hook = lambda: None
        fill(store, 3)
        compact(store, min_parts=2)

    store.hook = meanwhile
    assert [r["score"] for r in log.append([row(1), row(90)])] == [90.0]
    assert scores(store) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 90.0]
    assert store.names(HERE) == ["part-00000004.parquet", "part-compact-00000003.parquet"]


def test_a_part_compacted_at_once_still_counts_as_logged(tmp_path: Path) -> None:
    class Eager(LocalParts):
        def claim(self, partition: Partition, name: str, content: bytes) -> bool:
            written = super().claim(partition, name, content)
            if "compact" not in name:
                compact(LocalParts(tmp_path), min_parts=1)
            return written

    log = LogWriter(Eager(tmp_path), DAY, VERSION)
    for number in range(4):
        assert len(log.append([row(number), row(number + 1)])) == (2 if number == 0 else 1)
    assert scores(log._store) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_claim_whose_answer_was_lost_is_known_again(tmp_path: Path) -> None:
    class Deaf(LocalParts):
        def claim(self, partition: Partition, name: str, content: bytes) -> bool:
            super().claim(partition, name, content)
            return False

    log = LogWriter(Deaf(tmp_path), DAY, VERSION)
    assert len(log.append([row(1), row(2)])) == 2
    assert len(log.append([row(3)])) == 1
    assert scores(log._store) == [1.0, 2.0, 3.0]


def test_a_store_that_forgets_is_named(tmp_path: Path) -> None:
    class Forgetful(LocalParts):
        def claim(self, partition: Partition, name: str, content: bytes) -> bool:
            return True

    with pytest.raises(NormscapeError, match="other parts came first"):
        LogWriter(Forgetful(tmp_path), DAY, VERSION).append([row(1)])


@pytest.mark.slow
def test_readers_see_every_row_once_while_others_write_and_compact(
    store: PartStore, again: Callable[[], PartStore]
) -> None:
    done, written, commits = threading.Event(), 0, 20 if isinstance(store, LocalParts) else 6
    problems: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def body() -> None:
            try:
                work()
            except BaseException as error:
                problems.append(error)
                done.set()

        thread = threading.Thread(target=body)
        thread.start()
        return thread

    def write(offset: int) -> None:
        nonlocal written
        log = LogWriter(again(), DAY, VERSION)
        for number in range(commits):
            log.append([row(100 * number + offset), row(100 * number + 50)])
            written += 1

    def read_on() -> None:
        while not done.is_set():
            before = written
            found = read(again())
            assert found["sha256"].is_unique
            assert before <= len(found)

    def compact_on() -> None:
        while not done.is_set():
            compact(again(), min_parts=2)

    writers = [guarded(lambda n=n: write(n)) for n in range(2)]
    others = [guarded(read_on), guarded(compact_on), guarded(compact_on)]
    for thread in writers:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    assert problems == []
    assert len(scores(store)) == len(set(scores(store))) == 3 * commits
