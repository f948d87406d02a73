"""The append-only score log, partitioned by day and model version: reading and writing.

`normscape.scoring.parts` says how its parts are named and which of them count.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa

from normscape.errors import NormscapeError
from normscape.scoring.parts import (
    Partition,
    PartStore,
    number_of,
    numbered,
    snapshot,
    steadily,
)
from normscape.scoring.schema import (
    SCHEMA,
    Note,
    check_day,
    decode,
    encode,
    note_of,
    row_key,
    table_of,
)

_READERS = 8  # parts are opened at once; Arrow decodes without the interpreter's lock
_ORDER = ["day", "model_version", "path"]
_TRIES = 200


def append(store: PartStore, frame: pd.DataFrame) -> list[str]:
    """Append the rows of `frame` as they are, one new part per day and model version in it.

    Returns:
        Places of the new parts below the root of the log.

    Raises:
        NormscapeError: A column is missing or unknown, or the log cannot be written.
    """
    table_of(frame.head(0))
    parts = []
    for (day, version), rows in frame.groupby(["day", "model_version"], sort=True):
        partition = Partition(str(day), str(version))
        parts.append(f"{partition.path}/{append_table(store, partition, table_of(rows))}")
    return parts


def read(
    store: PartStore,
    *,
    days: str | Sequence[str] | None = None,
    model_version: str | None = None,
    category: str | None = None,
    columns: Sequence[str] | None = None,
    ordered: bool = True,
) -> pd.DataFrame:
    """Read the log; only the partitions of the wanted days and version are opened.

    Each partition is read as it was at one moment, whoever writes or compacts meanwhile.

    Args:
        store: The log; an empty or missing one reads as empty.
        days: One day or several; all when None.
        model_version: One model version; all when None.
        category: Only rows whose declared, else predicted category it is; all when None.
        columns: The columns to read; all when None.
        ordered: Whether the order matters; it costs most of the time of reading a large day.

    Returns:
        One row per scored image, ordered by day, model version and path, or as they lie.

    Raises:
        UsageError: A day is not a date.
        NormscapeError: A part is damaged or was written by a newer Normscape.
    """
    wanted = None if days is None else {days} if isinstance(days, str) else set(days)
    for day in wanted or ():
        check_day(day)
    names = list(columns) if columns is not None else list(SCHEMA.names)
    needed = list(dict.fromkeys([*names, *_ORDER])) if ordered else names
    tables = [pa.schema([SCHEMA.field(name) for name in needed]).empty_table()]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="score-log") as pool:
        for partition in store.partitions(wanted):
            if model_version not in (None, partition.model_version):
                continue
            look = partial(_read_partition, store, partition, needed, category, pool)
            tables += steadily(store, partition, look)
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    if not ordered:
        return frame
    return frame.sort_values(_ORDER, kind="stable", ignore_index=True)[names]


def days(store: PartStore, *, model_version: str | None = None) -> list[str]:
    """The days in the log, oldest first; only those scored by `model_version` where it is given."""
    return sorted(
        {each.day for each in store.partitions() if model_version in (None, each.model_version)}
    )


def versions(store: PartStore, wanted: Collection[str]) -> set[str]:
    """The model versions that have scored on one of these days."""
    return {each.model_version for each in store.partitions(set(wanted))}


class LogWriter:
    """Writes one day of one model version so that no image is ever logged twice.

    Several writers may work on the same day at once, on several machines: a part is added under
    the number after the last one, and only one writer gets it. Whoever does not reads what the
    other wrote, leaves out what it holds, and takes the next number.
    """

    def __init__(self, store: PartStore, day: str, model_version: str) -> None:
        self._store = store
        self._partition = Partition(day, model_version)
        self._through = 0
        self._seen: set[str] = set()
        self._logged: set[bytes] = set()

        self._refresh()

    def knows(self, sha256: str) -> bool:
        """Whether an image was in the log when this writer last wrote to it or was made."""
        return _packed(sha256, "") in self._logged

    def append(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Log the rows that nobody has logged yet.

        Returns:
            Those that were new.

        Raises:
            BusyError: Another writer held the lock for two minutes.
            NormscapeError: The log cannot be written.
        """
        commit, fresh = uuid.uuid4().hex, self._fresh(rows)
        for _ in range(_TRIES):
            if not fresh:
                return []
            table = table_of(pd.DataFrame(list(fresh.values())))
            name = numbered(self._through + 1)
            if add(self._store, self._partition, name, table, commit):
                self._logged.update(fresh)
                self._seen.add(name)
                self._through += 1
                return list(fresh.values())
            self._refresh()
            fresh = self._fresh(list(fresh.values()))
        raise _outrun(self._store, self._partition)

    def _fresh(self, rows: Sequence[dict[str, Any]]) -> dict[bytes, dict[str, Any]]:
        fresh: dict[bytes, dict[str, Any]] = {}
        for row in rows:
            key = _packed(row["sha256"], row["path"])
            if key not in self._logged:
                fresh.setdefault(key, row)
        return fresh

    def _refresh(self) -> None:
        steadily(self._store, self._partition, self._look)

    def _look(self) -> None:
        found = snapshot(self._store, self._partition)
        for name in found.live:
            if name in self._seen:
                continue
            table = decode(self._store.fetch(self._partition, name), ["sha256", "path"])
            for sha256, path in zip(*(column.to_pylist() for column in table.columns), strict=True):
                self._logged.add(_packed(sha256, path))
            self._seen.add(name)
        self._through = found.through


def add(store: PartStore, partition: Partition, name: str, table: pa.Table, commit: str) -> bool:
    """Write a part under a number that seems free; whether its rows are in the log now.

    Args:
        store: The log.
        partition: Where the rows belong.
        name: Of the part.
        table: The rows.
        commit: A name that no other part's writer uses.
    """
    written = store.claim(partition, name, encode(table, Note((commit,))))
    found = steadily(store, partition, partial(_commits, store, partition, name))
    if commit in found:
        return True
    if written:
        # A writer that paused has got a number which a compaction had freed; nobody reads it.
        store.remove(partition, name)
    return False


def _commits(store: PartStore, partition: Partition, name: str) -> tuple[str, ...]:
    """The commits of the part that stands for `name`: itself, or the one that replaced it."""
    found = snapshot(store, partition)
    if name not in found.live:
        name = next((each for each in found.live if number_of(each) >= number_of(name)), "")
    return note_of(store.fetch(partition, name)).commits if name else ()


def append_table(store: PartStore, partition: Partition, table: pa.Table) -> str:
    """Add a part after the last one; its name."""
    commit = uuid.uuid4().hex
    for _ in range(_TRIES):
        last = steadily(store, partition, partial(snapshot, store, partition)).through
        if add(store, partition, name := numbered(last + 1), table, commit):
            return name
    raise _outrun(store, partition)


def _read_partition(
    store: PartStore,
    partition: Partition,
    columns: Sequence[str],
    category: str | None,
    pool: ThreadPoolExecutor,
) -> list[pa.Table]:
    def part(name: str) -> pa.Table:
        return decode(store.fetch(partition, name), columns, category)

    return list(pool.map(part, snapshot(store, partition).live))


def _packed(sha256: str | None, path: str) -> bytes:
    # A million of them are kept: half the size of the text.
    key = row_key(sha256, path)
    return bytes.fromhex(key) if sha256 else key.encode()


def _outrun(store: PartStore, partition: Partition) -> NormscapeError:
    return NormscapeError(
        f"{store.describe(partition)}: {_TRIES} other parts came first; expected a store that "
        "lists what was written to it, check it"
    )
