"""The score log in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from normscape.errors import NormscapeError
from normscape.files import atomic_path, exclusive_lock, unwritable
from normscape.scoring.parts import Partition

_LOCK_WAIT_SECONDS = 120.0


class LocalParts:
    """A folder of parts, `<root>/day=YYYY-MM-DD/model=vNNNN/part-*.parquet`.

    Writers hold a lock while they take a number; readers hold none.

    Args:
        root: The folder; made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def partitions(self, days: set[str] | None = None) -> list[Partition]:
        """The partitions of these days, all when None; sorted."""
        wanted = ["*"] if days is None else days
        folders = (f for day in wanted for f in self.root.glob(f"day={day}/model=*"))
        found = (Partition.parse(folder.parent.name, folder.name) for folder in folders)
        return sorted(each for each in found if each is not None)

    def names(self, partition: Partition) -> list[str]:
        """The names in a partition; listed until two listings agree.

        A folder that changes while it is listed may show neither a part nor its replacement; a
        listing that is like the one before it was not changed by a removal.
        """
        before: list[str] | None = None
        while (names := self._listed(partition)) != before:
            before = names
        return names

    def size(self, partition: Partition, name: str) -> int:
        """The bytes of a part.

        Raises:
            FileNotFoundError: It is gone.
        """
        return (self.root / partition.path / name).stat().st_size

    def fetch(self, partition: Partition, name: str) -> Path:
        """The part's own file."""
        return self.root / partition.path / name

    def claim(self, partition: Partition, name: str, content: bytes) -> bool:
        """Write a part as a whole unless there is one of this name; whether it was written.

        Raises:
            BusyError: Others have held the lock for two minutes.
            NormscapeError: The folder cannot be written.
        """
        target = self.root / partition.path / name
        with exclusive_lock(self.root / ".lock", "writing the score log", _LOCK_WAIT_SECONDS):
            if target.exists():
                return False
            with atomic_path(target) as temporary, temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())  # a renamed part must not be empty after a power cut
        return True

    def remove(self, partition: Partition, name: str) -> None:
        """Remove a part that no longer counts.

        Raises:
            NormscapeError: The folder cannot be written.
        """
        target = self.root / partition.path / name
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(target, error) from error

    def describe(self, partition: Partition) -> str:
        """The partition's folder."""
        return str(self.root / partition.path)

    def _listed(self, partition: Partition) -> list[str]:
        folder = self.root / partition.path
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208 (a thousand names, twice)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise NormscapeError(
                f"{folder}: cannot be listed: {error.strerror or error}; check its permissions"
            ) from error
