"""Compaction of the score log: one part a day and model version instead of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from normscape.scoring.parts import (
    Partition,
    PartStore,
    Snapshot,
    compacted,
    is_old,
    number_of,
    snapshot,
    steadily,
)
from normscape.scoring.schema import SCHEMA, Note, check_day, decode, encode, note_of

MIN_PARTS = 4


@dataclass(frozen=True)
class Compacted:
    """What a compaction did.

    Attributes:
        partitions: Days and model versions that have fewer parts now.
        before: Their parts before.
        rows: Rows in the compact parts.
        removed: Files removed, with what an interrupted compaction had left.
    """

    partitions: int = 0
    before: int = 0
    rows: int = 0
    removed: int = 0

    def __add__(self, other: Compacted) -> Compacted:
        """Both together."""
        return Compacted(
            self.partitions + other.partitions,
            self.before + other.before,
            self.rows + other.rows,
            self.removed + other.removed,
        )


def compact(
    store: PartStore,
    *,
    day: str | None = None,
    min_parts: int = MIN_PARTS,
) -> Compacted:
    """Give every partition with at least `min_parts` parts one part instead.

    Readers and writers may go on meanwhile, and so may another compaction. The compact part counts
    from the moment it is there, and what it replaces no more; those are removed afterwards, if not
    by this compaction then by the next. A partition is in memory as a whole while it is compacted.

    Args:
        store: The log.
        day: Only this day; all when None.
        min_parts: Partitions with fewer are left as they are.

    Raises:
        UsageError: The day is not a date.
        NormscapeError: A part is damaged, or the log cannot be written.
    """
    days = None if day is None else {check_day(day)}
    total = Compacted()
    for partition in store.partitions(days):
        look = partial(_compact, store, partition, max(min_parts, 2))
        total += steadily(store, partition, look)
    return total


def _compact(store: PartStore, partition: Partition, min_parts: int) -> Compacted:
    found, done = snapshot(store, partition), Compacted()
    if len(found.live) >= min_parts:
        paths = [store.fetch(partition, name) for name in found.live]
        rows = pa.concat_tables([decode(path, SCHEMA.names) for path in paths])
        note = note_of_all(found.live, paths)
        store.claim(partition, compacted(found.through), encode(rows, note))
        done = Compacted(1, len(found.live), rows.num_rows)
        found = snapshot(store, partition)
    return done + Compacted(removed=sweep(store, partition, found))


def note_of_all(names: Sequence[str], paths: Sequence[Path]) -> Note:
    """What a part says of itself that stands for these parts."""
    notes = [note_of(path) for path in paths]
    return Note(
        tuple(commit for each in notes for commit in each.commits),
        tuple({*filter(is_old, names), *(n for each in notes for n in each.replaces)}),
        any(each.pruned for each in notes),
    )


def sweep(store: PartStore, partition: Partition, found: Snapshot) -> int:
    """Remove the parts that count no more; how many those were."""
    # Old compact parts go last: whoever lists meanwhile must not miss what they hold.
    ordered = sorted(found.replaced, key=lambda name: ("compact" in name, number_of(name)))
    for name in ordered:
        store.remove(partition, name)
    return len(ordered)
