"""Rows that leave the log for good while it is written and read."""

import pytest

from normscape.scoring.compact import compact
from normscape.scoring.log import LogWriter, append, days, read
from normscape.scoring.parts import Partition, PartStore
from normscape.scoring.retire import pruned_days, retire

from .rows import DAY, VERSION, frame, row

PARTITION = Partition(DAY, VERSION)


@pytest.mark.parametrize("compacted", [False, True])
def test_rows_are_gone_and_others_stay(store: PartStore, compacted: bool) -> None:
    for number in range(3):
        append(store, frame(row(number)))
    append(store, frame(row(7, model_version="v0002"), row(8, day="2026-03-15")))
    if compacted:
        compact(store, min_parts=2)
    assert pruned_days(store) == set()
    assert retire(store, PARTITION)
    assert set(read(store)["sha256"]) == {row(7)["sha256"], row(8)["sha256"]}
    assert len(store.names(PARTITION)) == 1
    assert pruned_days(store) == {DAY}
    assert days(store, model_version=VERSION) == [DAY, "2026-03-15"]
    assert retire(store, PARTITION), "once more changes nothing"
    assert len(read(store)) == 2


def test_a_writer_goes_on_after_it(store: PartStore) -> None:
    writer = LogWriter(store, DAY, VERSION)
    writer.append([row(0), row(1)])
    assert retire(store, PARTITION)
    assert len(writer.append([row(1), row(2)])) == 1, "what it has logged it does not log again"
    assert list(read(store)["sha256"]) == [row(2)["sha256"]]
    assert len(LogWriter(store, DAY, VERSION).append([row(2), row(3)])) == 1
    compact(store, min_parts=2)
    assert len(read(store)) == 2
    assert pruned_days(store) == {DAY}, "a compaction keeps the note"
