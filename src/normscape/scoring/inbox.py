"""The inbox: copies of the scored images that matter, until a person has judged them.

Layout: `<root>/<sha256>/{image.<ext>, record.json}`. Whatever changes it holds one lock.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from normscape.errors import DataError, NormscapeError, UsageError
from normscape.files import (
    atomic_folder,
    exclusive_lock,
    read_json,
    sha256_file,
    unwritable,
    write_json,
)
from normscape.params import Params
from normscape.scoring.record import RECORD_VERSION, Record

_LOCK_WAIT_SECONDS = 600.0  # a verdict on thousands of images holds it for a while
_MIN_PREFIX = 4


@dataclass(frozen=True)
class Pruned:
    """How many images left the inbox because it was full, by what they were.

    Attributes:
        placed: Copies of images whose verdict had put them into the data folder.
        random: Waiting images that were kept only as part of the random sample.
        remarkable: Waiting images that were flagged, unknown or drifted.
    """

    placed: int = 0
    random: int = 0
    remarkable: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        """Both together."""
        return Pruned(
            self.placed + other.placed,
            self.random + other.random,
            self.remarkable + other.remarkable,
        )

    def warning(self, limit: int) -> str | None:
        """What a person must be told, or None."""
        if not self.remarkable:
            return None
        return (
            f"the inbox is full (review.max_images: {limit}): the {self.remarkable} oldest "
            "flagged, unknown or drifted images that waited for review were dropped from it; they "
            "stay in the score log with their paths. Review what waits, or raise the limit"
        )


class Inbox:
    """The folder of kept images.

    Args:
        root: The folder; made when the first image is kept.
        lock: The lock file that every change holds.
        limit: The number of images from which `prune` drops some.
    """

    def __init__(self, root: Path, lock: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self._lock = lock
        self._mutex = threading.Lock()

    @classmethod
    def of(cls, params: Params) -> Inbox:
        """The inbox of a project."""
        return cls(
            params.state / "inbox", params.state / "locks" / "inbox.lock", params.review.max_images
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing the inbox."""
        # The file's lock is asked for again and again; threads of one process need not wait for it.
        with (
            self._mutex,
            exclusive_lock(self._lock, "a change of the inbox", _LOCK_WAIT_SECONDS),
        ):
            yield

    def keep(self, record: Record, source: Path) -> bool:
        """Keep an image, or add a reason to one that is kept already.

        A waiting record takes the scores of the newest model; a reviewed one is left as it is.

        Args:
            record: What to note; its status is `waiting`.
            source: The image file to copy.

        Returns:
            Whether the image is new in the inbox.

        Raises:
            DataError: `source` is gone or is no longer the image that was scored.
        """
        with self.locked():
            known = self.get(record.sha256)
            if known is not None:
                merged = known.seen_again(record)
                if merged != known:
                    self._write(merged)
                return False
            with atomic_folder(self.root / record.sha256) as temporary:
                copy_verified(source, temporary / f"image{source.suffix.lower()}", record.sha256)
                kept = record.event("kept", reasons=list(record.reasons))
                write_json(temporary / "record.json", kept.as_dict())
            return True

    def records(self) -> list[Record]:
        """All records, by day and then by SHA-256.

        Raises:
            NormscapeError: A record is damaged.
        """
        if not self.root.is_dir():
            return []
        found = [self.get(path.name) for path in self.root.iterdir() if _is_sha256(path.name)]
        return sorted(
            (record for record in found if record is not None),
            key=lambda record: (record.day, record.sha256),
        )

    def get(self, sha256: str) -> Record | None:
        """The record of an image, or None.

        Raises:
            NormscapeError: It is damaged.
        """
        path = self.root / sha256 / "record.json"
        if not path.exists():
            return None
        try:
            content = read_json(path)
            if content.pop("version") != RECORD_VERSION:
                raise ValueError("of another version")
            for name in ("reasons", "history"):
                content[name] = tuple(content[name])
            if content.get("peak") is not None:
                content["peak"] = tuple(content["peak"])
            return Record(**content)
        except (UsageError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise NormscapeError(
                f"{path} is damaged ({error}); restore it, or remove its folder to forget the image"
            ) from None

    def find(self, prefix: str) -> Record:
        """The one record whose SHA-256 starts with `prefix`.

        Raises:
            UsageError: The prefix is too short or no hexadecimal number, or fits none or several.
        """
        wanted = prefix.lower()
        if len(wanted) < _MIN_PREFIX or set(wanted) - set("0123456789abcdef"):
            raise UsageError(
                f"'{prefix}' is not an id; expected the first {_MIN_PREFIX} or more hexadecimal "
                "digits of an image's SHA-256, as `normscape review list` shows them"
            )
        names = sorted(path.name for path in self.root.glob(f"{wanted}*") if path.is_dir())
        if len(names) > 1:
            shown = ", ".join(name[: len(wanted) + 6] for name in names[:5])
            raise UsageError(f"'{prefix}' fits {len(names)} images ({shown}); give more digits")
        record = self.get(names[0]) if names else None
        if record is None:
            raise UsageError(
                f"no image of the inbox has an id that starts with '{prefix}'; "
                "`normscape review list --status all` shows them"
            )
        return record

    def image(self, record: Record) -> Path | None:
        """The inbox's copy of the image; None when it was dropped after its verdict."""
        return next((self.root / record.sha256).glob("image.*"), None)

    def update(self, record: Record) -> None:
        """Replace the record of an image; the caller holds `locked`."""
        self._write(record)

    def prune(self) -> Pruned:
        """Drop images until at most `limit` are left.

        First the copies of images that a verdict has put into the data folder (their records
        stay), then waiting ones of the random sample, then the other waiting ones; each oldest
        first. False alarms stay: a recalibration needs them.
        """
        if not self.root.is_dir() or sum(1 for _ in self.root.iterdir()) <= self.limit:
            return Pruned()
        with self.locked():
            holding = [record for record in self.records() if self.image(record) is not None]
            excess = len(holding) - self.limit
            if excess <= 0:
                return Pruned()
            counts = {"placed": 0, "random": 0, "remarkable": 0}
            for kind, record in _droppable(holding)[:excess]:
                if kind == "placed":
                    image = self.image(record)
                    image.unlink() if image else None
                else:
                    _remove(self.root / record.sha256)
                counts[kind] += 1
            return Pruned(**counts)

    def _write(self, record: Record) -> None:
        write_json(self.root / record.sha256 / "record.json", record.as_dict())


def copy_verified(source: Path, target: Path, sha256: str) -> None:
    """Copy an image file and check that it is the one that was scored.

    Raises:
        DataError: `source` is gone, unreadable or another image.
        NormscapeError: `target` cannot be written.
    """
    try:
        content = source.open("rb")
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from None
    with content:
        try:
            with target.open("wb") as copy:
                shutil.copyfileobj(content, copy)
        except OSError as error:
            raise unwritable(target, error) from error
    if sha256_file(target) != sha256:
        raise DataError(f"{source}: changed since it was scored (its SHA-256 was {sha256})")


def _droppable(holding: list[Record]) -> list[tuple[str, Record]]:
    placed = [r for r in holding if r.status in ("approved", "rejected", "missed_defect")]
    waiting = [r for r in holding if r.status == "waiting"]
    random = [r for r in waiting if r.reasons == ("random",)]
    remarkable = [r for r in waiting if r.reasons != ("random",)]
    ordered = (("placed", placed), ("random", random), ("remarkable", remarkable))
    return [(kind, record) for kind, records in ordered for record in records]


def _remove(folder: Path) -> None:
    # The record goes first: a folder without one is no image of the inbox.
    try:
        (folder / "record.json").unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def _is_sha256(name: str) -> bool:
    return len(name) == 64 and not set(name) - set("0123456789abcdef")
