"""The parts of the score log in one partition: their names, and which of them count.

Writers take numbers: a part `part-00000007.parquet` is claimed, never overwritten, so a writer that
holds 7 has seen what 1 to 6 say. `part-compact-00000007.parquet` holds the rows of all up to 7, and
from the moment it is there those count no more, whether or not they are removed already. Parts of
version 1 are named by 32 hexadecimal digits; a compact part notes those that it replaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from normscape.errors import NormscapeError, UsageError
from normscape.scoring.schema import check_day, note_of

_MODEL_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME = re.compile(
    r"part-(?:(?P<number>\d{8})|compact-(?P<through>\d{8})|(?P<old>[0-9a-f]{32}))\.parquet"
)
_TRIES = 50
T = TypeVar("T")


class MovingPartsError(Exception):
    """Parts were replaced while they were looked at; look again."""


@dataclass(frozen=True, order=True)
class Partition:
    """One day of one model version.

    Attributes:
        day: YYYY-MM-DD.
        model_version: Such as v0001.
    """

    day: str
    model_version: str

    def __post_init__(self) -> None:
        check_day(self.day)
        if not _MODEL_VERSION.fullmatch(self.model_version):
            raise UsageError(
                f"'{self.model_version}' is not a model version; expected one such as v0001"
            )

    @property
    def path(self) -> str:
        """Its place below the root of the log."""
        return f"day={self.day}/model={self.model_version}"

    @classmethod
    def parse(cls, day: str, model: str) -> Partition | None:
        """The partition of the folder names `day=…` and `model=…`; None where it is none."""
        if not (day.startswith("day=") and model.startswith("model=")):
            return None
        try:
            return cls(day.removeprefix("day="), model.removeprefix("model="))
        except UsageError:
            return None


class PartStore(Protocol):
    """Where parts are kept; `local_parts` and `s3_parts` implement it."""

    def partitions(self, days: set[str] | None = None) -> list[Partition]:
        """The partitions of these days that hold something, of all days when None; sorted."""

    def names(self, partition: Partition) -> list[str]:
        """The names in a partition.

        A part that was there when the listing began and is not removed is in it; a compact part
        is in it if any part that it replaces is missing because it was removed.
        """

    def size(self, partition: Partition, name: str) -> int:
        """The bytes of a part that `names` has listed, known without fetching it.

        Raises:
            FileNotFoundError: It is gone.
        """

    def fetch(self, partition: Partition, name: str) -> Path:
        """A local file with a part's bytes.

        Raises:
            FileNotFoundError: It is gone.
        """

    def claim(self, partition: Partition, name: str, content: bytes) -> bool:
        """Write a part as a whole unless there is one of this name; whether it was written."""

    def remove(self, partition: Partition, name: str) -> None:
        """Remove a part; nothing happens where it is gone already."""

    def describe(self, partition: Partition) -> str:
        """The partition's place, for messages."""


@dataclass(frozen=True)
class Snapshot:
    """The parts of a partition that count, and those that do not.

    Attributes:
        through: The highest number taken; 0 when none is.
        live: The names of the parts whose rows are the log's.
        replaced: The names of those whose rows a compact part holds.
    """

    through: int
    live: tuple[str, ...]
    replaced: tuple[str, ...]


def numbered(number: int) -> str:
    """The name of a writer's part."""
    return f"part-{number:08d}.parquet"


def compacted(through: int) -> str:
    """The name of the part that holds the rows of all parts up to a number."""
    return f"part-compact-{through:08d}.parquet"


def number_of(name: str) -> int:
    """The number up to which a part's rows reach; 0 for a part of version 1."""
    found = _NAME.fullmatch(name)
    return int((found and (found["number"] or found["through"])) or 0)


def is_old(name: str) -> bool:
    """Whether it is the name of a part of version 1."""
    found = _NAME.fullmatch(name)
    return found is not None and found["old"] is not None


def snapshot(store: PartStore, partition: Partition) -> Snapshot:
    """What a partition holds.

    Raises:
        MovingPartsError: The listing was overtaken by a writer or a compaction.
        NormscapeError: A compact part is damaged.
    """
    names = store.names(partition)
    found = [match for match in map(_NAME.fullmatch, names) if match is not None]
    compacts = sorted(match["through"] for match in found if match["through"])
    newest = int(compacts[-1]) if compacts else 0
    numbers = sorted(int(match["number"]) for match in found if match["number"])
    later = [number for number in numbers if number > newest]
    if later and later[-1] - newest != len(later):
        raise MovingPartsError  # a number was taken before those that it follows were listed
    live = [compacted(newest)] if compacts else []
    old = sorted(match.string for match in found if match["old"])
    if old and compacts:
        try:
            replaces = note_of(store.fetch(partition, live[0])).replaces
        except FileNotFoundError:
            raise MovingPartsError from None
        old = [name for name in old if name not in replaces]
    live += [*old, *map(numbered, later)]
    every = {match.string for match in found}
    return Snapshot(later[-1] if later else newest, tuple(live), tuple(sorted(every - set(live))))


def steadily(store: PartStore, partition: Partition, look: Callable[[], T]) -> T:
    """Repeat `look` until nothing moved under it.

    Raises:
        NormscapeError: Something moved every time: a part is missing for good.
    """
    for _ in range(_TRIES):
        try:
            return look()
        except (MovingPartsError, FileNotFoundError) as error:
            last = error
    raise NormscapeError(
        f"{store.describe(partition)}: parts of the score log are missing "
        f"({last or 'a gap in their numbers'}); expected all that no compact part replaces, "
        "restore them from a backup, or remove the partition and score its day again"
    )
