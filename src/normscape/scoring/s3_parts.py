"""The score log in an object store."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from normscape.files import atomic_path
from normscape.scoring.parts import Partition
from normscape.storage.client import MissingObjectError, PreconditionError
from normscape.storage.conditions import check_conditions
from normscape.storage.store import ObjectStore

_PART_BYTES = 1 << 30


class S3Parts:
    """Parts below `s3://bucket/prefix`, each an object that is written once and never changed.

    A number is taken with If-None-Match, so no lock is needed between machines. Parts that were
    read are kept in a folder on this machine.

    A listing is sorted by name and `part-compact-…` follows the numbered parts: a listing that
    comes too late for some of those comes in time for what replaced them.

    Args:
        store: Where the parts are.
        cache: The folder of copies; may be removed at any time.
    """

    def __init__(self, store: ObjectStore, cache: Path) -> None:
        self._store = store
        self._cache = cache
        self._etags: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._checked = False

    def __str__(self) -> str:
        return str(self._store.location)

    def partitions(self, days: set[str] | None = None) -> list[Partition]:
        """The partitions of these days, all when None; sorted."""
        prefixes = ["day="] if days is None else [f"day={day}/" for day in sorted(days)]
        folders = {
            tuple(item.name.split("/")[:2])
            for prefix in prefixes
            for item in self._store.list(prefix)
        }
        found = (Partition.parse(*folder) for folder in folders if len(folder) == 2)
        return sorted(each for each in found if each is not None)

    def names(self, partition: Partition) -> list[str]:
        """The names in a partition; copies of parts that are gone go, too."""
        listed = list(self._store.list(f"{partition.path}/"))
        self._etags |= {item.name: item.etag for item in listed}
        self._sizes |= {item.name: item.size for item in listed}
        self._drop_copies(partition, {self._copy(item.name, item.etag).name for item in listed})
        return [item.name.rpartition("/")[2] for item in listed]

    def size(self, partition: Partition, name: str) -> int:
        """The bytes of a part that `names` has listed."""
        return self._sizes[f"{partition.path}/{name}"]

    def fetch(self, partition: Partition, name: str) -> Path:
        """A local copy of a part.

        Raises:
            FileNotFoundError: It is gone.
        """
        key = f"{partition.path}/{name}"
        if key in self._etags and (copy := self._copy(key, self._etags[key])).exists():
            return copy
        try:
            content, etag = self._store.get_bytes(key, limit=_PART_BYTES)
        except MissingObjectError:
            raise FileNotFoundError(f"{self._store.location.url(key)} is gone") from None
        return self._keep(key, etag, content)

    def claim(self, partition: Partition, name: str, content: bytes) -> bool:
        """Write a part as a whole unless there is one of this name; whether it was written.

        Raises:
            StoreError: The store cannot be used, or ignores the condition.
        """
        if not self._checked:
            check_conditions(self._store)
            self._checked = True
        key = f"{partition.path}/{name}"
        try:
            etag = self._store.put(key, content, only_new=True)
        except PreconditionError:
            return False
        self._keep(key, etag, content)
        return True

    def remove(self, partition: Partition, name: str) -> None:
        """Remove a part that no longer counts.

        Raises:
            StoreError: The store cannot be used.
        """
        key = f"{partition.path}/{name}"
        self._store.remove([key])
        if etag := self._etags.pop(key, None):
            self._copy(key, etag).unlink(missing_ok=True)

    def describe(self, partition: Partition) -> str:
        """The partition's address."""
        return self._store.location.url(partition.path)

    def _drop_copies(self, partition: Partition, but: set[str]) -> None:
        """Another machine has removed their parts. Whoever still needs one fetches it again."""
        folder = self._cache / partition.path
        with suppress(OSError):  # there is none, or it is read-only
            for path in folder.iterdir():
                if path.name not in but and not path.name.startswith("."):
                    path.unlink(missing_ok=True)

    def _keep(self, key: str, etag: str, content: bytes) -> Path:
        copy = self._copy(key, etag)
        with atomic_path(copy) as temporary:
            temporary.write_bytes(content)
        self._etags[key] = etag
        return copy

    def _copy(self, key: str, etag: str) -> Path:
        mark = "".join(filter(str.isalnum, etag))
        folder, _, name = key.rpartition("/")
        return self._cache / folder / f"{mark}-{name}"
