"""Days that leave the score log for good, while others read and write it."""

from __future__ import annotations

from functools import partial

from normscape.scoring import log
from normscape.scoring.compact import note_of_all, sweep
from normscape.scoring.parts import (
    Partition,
    PartStore,
    Snapshot,
    compacted,
    number_of,
    snapshot,
    steadily,
)
from normscape.scoring.schema import SCHEMA, Note, encode, note_of

_TRIES = 20


def retire(store: PartStore, partition: Partition) -> bool:
    """Remove the rows of a day and model version; whether they are gone.

    A part without rows takes the place of all others, as in a compaction: from the moment it is
    there the rows are gone, for every reader at once; the files go afterwards, if not now then with
    the next compaction. Writers go on after it, and it tells that the day was scored.
    """
    for _ in range(_TRIES):
        # The number is taken as a writer takes it, so what is written later is not lost.
        last = log.append_table(store, partition, SCHEMA.empty_table())
        if steadily(store, partition, partial(_retire, store, partition, number_of(last))):
            return True
    return False


def pruned_days(store: PartStore) -> set[str]:
    """The days that hold a partition from which rows were removed."""
    return {
        each.day
        for each in store.partitions()
        if steadily(store, each, partial(_is_pruned, store, each))
    }


def _retire(store: PartStore, partition: Partition, number: int) -> bool:
    found = snapshot(store, partition)
    gone = [name for name in found.live if number_of(name) <= number]
    note = note_of_all(gone, [store.fetch(partition, name) for name in gone])
    content = encode(SCHEMA.empty_table(), Note(note.commits, note.replaces, pruned=True))
    store.claim(partition, compacted(number), content)
    found = snapshot(store, partition)
    sweep(store, partition, found)
    # A compaction at the same time may have joined the rows under this number or a later one.
    return _notes_removal(store, partition, found)


def _is_pruned(store: PartStore, partition: Partition) -> bool:
    return _notes_removal(store, partition, snapshot(store, partition))


def _notes_removal(store: PartStore, partition: Partition, found: Snapshot) -> bool:
    joined = next((name for name in found.live if "compact" in name), None)
    return joined is not None and note_of(store.fetch(partition, joined)).pruned
