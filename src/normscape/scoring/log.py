"""The append-only score log: one Parquet part a commit, partitioned by day and model version.

Layout: `<root>/day=YYYY-MM-DD/model=vNNNN/part-<uuid>.parquet`. A part is written under another
name and renamed, so a reader sees it whole or not at all; parts are never changed afterwards.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from normscape.errors import NormscapeError, UsageError
from normscape.files import atomic_path, exclusive_lock

LOG_VERSION = 1
_VERSION_KEY = b"normscape.score_log"
_LOCK_WAIT_SECONDS = 120.0
_MODEL_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # POSIX; relative to the folder of params.yaml, or absolute
        ("sha256", pa.string()),  # null where the file could not even be read
        ("day", pa.string()),
        ("declared_category", pa.string()),
        ("predicted_category", pa.string()),
        ("category_distance", pa.float64()),
        ("category_p_value", pa.float64()),
        ("score", pa.float64()),
        ("p_value_declared", pa.float64()),
        ("p_value_predicted", pa.float64()),
        ("threshold", pa.float64()),
        ("flagged", pa.bool_()),
        ("error", pa.string()),
        ("model_version", pa.string()),
        ("runtime", pa.string()),
        ("precision", pa.string()),
        ("mean_intensity", pa.float32()),
        ("std_intensity", pa.float32()),
        ("sharpness", pa.float32()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
    ],
    metadata={_VERSION_KEY: str(LOG_VERSION).encode()},
)
"""The columns of every part; the version of this format travels in the Parquet metadata."""


def check_day(text: str) -> str:
    """Return `text` if it is a day such as 2026-03-14.

    Raises:
        UsageError: It is not.
    """
    try:
        if datetime.date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise UsageError(f"'{text}' is not a day; expected a date such as 2026-03-14 (YYYY-MM-DD)")


def row_key(sha256: str | None, path: str) -> str:
    """What makes a row of one day and model version unique: the image's bytes, else its path."""
    return sha256 if sha256 else f"unreadable:{path}"


def partition(root: Path, day: str, model_version: str) -> Path:
    """The folder of one day's parts under one model version.

    Raises:
        UsageError: The day or the version is not one.
    """
    if not _MODEL_VERSION.fullmatch(model_version):
        raise UsageError(f"'{model_version}' is not a model version; expected one such as v0001")
    return root / f"day={check_day(day)}" / f"model={model_version}"


def append(root: Path, frame: pd.DataFrame) -> list[Path]:
    """Append the rows of `frame`, one new part per day and model version in it.

    Args:
        root: The folder of the log.
        frame: The columns of `SCHEMA`.

    Returns:
        The new parts.

    Raises:
        NormscapeError: A column is missing or unknown, or the folder cannot be written.
    """
    missing = set(SCHEMA.names) - set(frame.columns)
    unknown = set(frame.columns) - set(SCHEMA.names)
    if missing or unknown:
        raise NormscapeError(
            f"score log {root}: rows lack {sorted(missing)} and have unknown {sorted(unknown)}; "
            "expected exactly the columns of normscape.scoring.log.SCHEMA"
        )
    parts = []
    for (day, version), rows in frame.groupby(["day", "model_version"], sort=True):
        part = partition(root, str(day), str(version)) / f"part-{uuid.uuid4().hex}.parquet"
        table = pa.Table.from_pandas(rows[SCHEMA.names], schema=SCHEMA, preserve_index=False)
        with atomic_path(part) as temporary:
            pq.write_table(table.replace_schema_metadata(SCHEMA.metadata), temporary)
        parts.append(part)
    return parts


def read(
    root: Path,
    *,
    days: str | Sequence[str] | None = None,
    model_version: str | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the log; only the folders of the wanted days and version are opened.

    Args:
        root: The folder of the log; a missing one reads as empty.
        days: One day or several; all when None.
        model_version: One model version; all when None.
        columns: The columns to read; all when None.

    Returns:
        One row per scored image, ordered by day, model version and path.

    Raises:
        UsageError: A day is not a date.
        NormscapeError: A part is damaged or was written by a newer Normscape.
    """
    wanted = None if days is None else {days} if isinstance(days, str) else set(days)
    for day in wanted or ():
        check_day(day)
    names = list(columns) if columns is not None else list(SCHEMA.names)
    order = ["day", "model_version", "path"]
    needed = list(dict.fromkeys([*names, *order]))
    tables = [_read_part(part, needed) for part in _parts(root, wanted, model_version)]
    schema = pa.schema([SCHEMA.field(name) for name in needed])
    frame: pd.DataFrame = pa.concat_tables(tables or [schema.empty_table()]).to_pandas()
    return frame.sort_values(order, kind="stable", ignore_index=True)[names]


def days(root: Path, *, model_version: str | None = None) -> list[str]:
    """The days in the log, oldest first; only those scored by `model_version` where it is given."""
    return sorted({part.parent.parent.name[4:] for part in _parts(root, None, model_version)})


class LogWriter:
    """Writes one day of one model version so that no image is ever logged twice.

    Several writers may work on the same day at once: each looks at the others' parts, under a
    lock, before it adds its own. Parts never change, so each is read once only.
    """

    def __init__(self, root: Path, day: str, model_version: str, lock: Path) -> None:
        self._root = root
        self._folder = partition(root, day, model_version)
        self._lock = lock
        self._seen_parts: set[Path] = set()
        self._logged: set[str] = set()

        self._refresh()

    def knows(self, sha256: str) -> bool:
        """Whether an image was in the log when this writer last wrote to it or was made."""
        return sha256 in self._logged

    def append(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Log the rows that nobody has logged yet.

        Returns:
            Those that were new.

        Raises:
            BusyError: Another writer held the lock for two minutes.
            NormscapeError: The folder cannot be written.
        """
        if not rows:
            return []
        with exclusive_lock(self._lock, "writing the score log", _LOCK_WAIT_SECONDS):
            self._refresh()
            fresh: dict[str, dict[str, Any]] = {}
            for row in rows:
                key = row_key(row["sha256"], row["path"])
                if key not in self._logged:
                    fresh.setdefault(key, row)
            if fresh:
                self._seen_parts.update(append(self._root, pd.DataFrame(list(fresh.values()))))
                self._logged.update(fresh)
        return list(fresh.values())

    def _refresh(self) -> None:
        for part in set(self._folder.glob("part-*.parquet")) - self._seen_parts:
            table = _read_part(part, ["sha256", "path"])
            for sha256, path in zip(*(column.to_pylist() for column in table.columns), strict=True):
                self._logged.add(row_key(sha256, path))
            self._seen_parts.add(part)


def _parts(root: Path, wanted: set[str] | None, model_version: str | None) -> Iterator[Path]:
    model = f"model={model_version}" if model_version is not None else "model=*"
    if wanted is None:
        yield from sorted(root.glob(f"day=*/{model}/part-*.parquet"))
        return
    for day in sorted(wanted):
        yield from sorted(root.glob(f"day={day}/{model}/part-*.parquet"))


def _read_part(part: Path, columns: list[str]) -> pa.Table:
    try:
        with pq.ParquetFile(part) as file:
            metadata = file.schema_arrow.metadata or {}
            version = int(metadata.get(_VERSION_KEY, b"0"))
            if version != LOG_VERSION:
                raise NormscapeError(
                    f"{part} has version {version} of the score log's format; this Normscape reads "
                    f"version {LOG_VERSION}; use the Normscape that wrote it or move it away"
                )
            return (
                file.read(columns=columns)
                .select(columns)
                .cast(pa.schema([SCHEMA.field(name) for name in columns]))
            )
    except (OSError, pa.ArrowException, ValueError) as error:
        raise NormscapeError(
            f"{part} is not a readable part of the score log ({error}); restore it from a backup, "
            "or remove it and score its day again"
        ) from error
