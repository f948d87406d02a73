"""Apply the limits of `retention`: score log, maps, pages of the monitor."""

from __future__ import annotations

import datetime
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from normscape.files import exclusive_lock, unwritable
from normscape.params import Params
from normscape.retention.needs import Needs, find_needs, monitored_days
from normscape.scoring.feed import is_day
from normscape.scoring.parts import Partition, PartStore, snapshot, steadily
from normscape.scoring.paths import score_log
from normscape.scoring.retire import retire
from normscape.scoring.schema import decode

_GIB = 2**30
_MONITOR_WAIT_SECONDS = 600.0
_FRESH_SECONDS = 3600.0  # a picture is written before the record that needs it


@dataclass(frozen=True)
class Item:
    """Something that can be removed as a whole.

    Attributes:
        kind: log, maps or monitor.
        day: YYYY-MM-DD.
        name: What it is, for people.
        bytes: What its removal frees.
    """

    kind: str
    day: str
    name: str
    bytes: int


@dataclass
class PruneSummary:
    """What was removed, or would be.

    Attributes:
        dry_run: Whether nothing was removed.
        removed: The items, oldest first within a kind.
        kept: What is over a limit and stays, and why.
    """

    dry_run: bool
    removed: list[Item] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What the removal frees."""
        return sum(item.bytes for item in self.removed)

    def as_dict(self) -> dict[str, Any]:
        """Its content as JSON."""
        return {**asdict(self), "bytes": self.bytes}


def prune(
    params: Params, *, dry_run: bool = False, today: datetime.date | None = None
) -> PruneSummary:
    """Remove what is over a limit of `retention` and not needed.

    Args:
        params: The project.
        dry_run: Remove nothing.
        today: The day from which ages count; today in UTC when None.

    Raises:
        NormscapeError: What is needed cannot be read, or something cannot be removed.
    """
    summary, limits = PruneSummary(dry_run), params.retention
    now = today or datetime.datetime.now(datetime.UTC).date()
    store = score_log(params)
    needs = find_needs(params, store)
    if limits.log_days or limits.log_gib:
        _prune_log(store, needs, _Limit(now, limits.log_days, limits.log_gib), summary)
    if limits.maps_days or limits.maps_gib:
        _prune_maps(params, needs, _Limit(now, limits.maps_days, limits.maps_gib), summary)
    if limits.monitor_days:
        _prune_monitor(params, needs, _Limit(now, limits.monitor_days, None), summary)
    return summary


@dataclass(frozen=True)
class _Limit:
    today: datetime.date
    days: int | None
    gib: float | None

    def over(self, sized: Sequence[tuple[str, int]]) -> Iterator[int]:
        """Indices of what has to go, of days and sizes ordered by day."""
        excess = sum(size for _, size in sized) - (self.gib or float("inf")) * _GIB
        for index, (day, size) in enumerate(sized):
            if self.is_old(day) or excess > 0:
                excess -= size
                yield index

    def is_old(self, day: str) -> bool:
        """Whether a day has to go because of its age."""
        age = (self.today - datetime.date.fromisoformat(day)).days
        return self.days is not None and age > self.days


def _prune_log(store: PartStore, needs: Needs, limit: _Limit, summary: PruneSummary) -> None:
    sized = [
        (partition, steadily(store, partition, partial(_bytes, store, partition)))
        for partition in store.partitions()
        if limit.gib is not None or limit.is_old(partition.day)
    ]
    over = [sized[i] for i in limit.over([(each.day, size) for each, size in sized])]
    over = [each for each in over if steadily(store, each[0], partial(_has_rows, store, each[0]))]
    for day, found in groupby(over, key=lambda each: each[0].day):
        if day in needs.days:
            summary.kept.append(f"score log of {day}: {needs.days[day]}")
            continue
        for partition, size in found:
            if summary.dry_run or retire(store, partition):
                name = f"{partition.day} {partition.model_version}"
                summary.removed.append(Item("log", partition.day, name, size))
            else:
                summary.kept.append(f"score log of {day}: it is being compacted; prune again")


def _bytes(store: PartStore, partition: Partition) -> int:
    return sum(store.size(partition, name) for name in snapshot(store, partition).live)


def _has_rows(store: PartStore, partition: Partition) -> bool:
    """Whether a partition has not been emptied already; fetches parts until one has rows."""
    live = snapshot(store, partition).live
    return any(decode(store.fetch(partition, name), ["day"]).num_rows for name in live)


def _prune_maps(params: Params, needs: Needs, limit: _Limit, summary: PruneSummary) -> None:
    folders = (params.state / "maps").glob("*/*")
    days = sorted((f for f in folders if is_day(f.name)), key=lambda f: (f.name, f.parent.name))
    files = [(folder, [*_pictures(folder)]) for folder in days]
    sized = [(folder.name, sum(size for _, size in found)) for folder, found in files]
    for index in limit.over(sized):
        folder, found = files[index]
        # Each picture stands alone. The folder stays: a scorer may be about to write into it.
        gone = [(path, size) for path, size in found if path not in needs.pictures]
        if not summary.dry_run:
            _each(_unlink, (path for path, _ in gone))
        if gone:
            name, size = f"{folder.name} {folder.parent.name}", sum(size for _, size in gone)
            summary.removed.append(Item("maps", folder.name, name, size))
        if len(gone) < len(found):
            waiting = len(found) - len(gone)
            summary.kept.append(f"{waiting} overlays of {folder.name}: they wait for review")


def _pictures(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in sorted(folder.glob("[!.]*.png")):  # hidden ones are being written
        try:
            found = path.stat()
        except FileNotFoundError:  # another prune was faster
            continue
        if time.time() - found.st_mtime > _FRESH_SECONDS:
            yield path, found.st_size


def _prune_monitor(params: Params, needs: Needs, limit: _Limit, summary: PruneSummary) -> None:
    root = params.state / "monitor"
    if not root.is_dir():
        return
    lock = params.state / "locks" / "monitor.lock"
    with exclusive_lock(lock, "the monitor", _MONITOR_WAIT_SECONDS):
        days = [day for day in monitored_days(params) if is_day(day)]
        sized = [(day, _size(root / day)) for day in days]
        for index in limit.over(sized):
            day, size = sized[index]
            if day in needs.pages:
                summary.kept.append(f"pages of {day}: an alert has not been sent")
                continue
            if not summary.dry_run:
                _each(_unlink, root.glob(f"workspace/*/snapshots/{day.replace('-', '')}-*.json"))
                _each(_retire_folder, [root / day])
            summary.removed.append(Item("monitor", day, day, size))
        if not summary.dry_run:  # what a killed prune or monitor has left
            _each(shutil.rmtree, root.glob(".*.old"))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _retire_folder(folder: Path) -> None:
    hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
    folder.rename(hidden)
    shutil.rmtree(hidden)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _each(remove: Callable[[Path], None], paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            remove(path)
        except OSError as error:
            raise unwritable(path, error) from error
