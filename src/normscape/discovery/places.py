"""Where catalogues are kept: a folder of a POSIX file system, or a prefix of an object store."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from normscape.files import unwritable
from normscape.registry import durable
from normscape.storage.client import MissingObjectError, PreconditionError
from normscape.storage.conditions import check_conditions
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore

_LIMIT = 1 << 28


class LocalPlace:
    """A folder; made when something is first written.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> Iterable[str]:
        """Paths of all files below the folder but hidden ones."""
        found = (path for path in self._root.glob("*/*") if not path.name.startswith("."))
        return [path.relative_to(self._root).as_posix() for path in found]

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def create(self, name: str, content: bytes) -> bool:
        """Write a file whole and flushed, unless there is one."""
        target = self._root / name
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        durable.write_bytes(temporary, content)
        try:
            os.link(temporary, target)  # unlike a rename it fails where the target is
            durable.flush(target.parent)
        except FileExistsError:
            return False
        except OSError as error:
            raise unwritable(target, error) from error
        finally:
            durable.remove_quietly(temporary)
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""
        for name in names:
            durable.remove_quietly(self._root / name)

    def describe(self, name: str) -> str:
        """The path."""
        return str(self._root / name)


class ObjectPlace:
    """Objects below a location; the store must honour conditional writes.

    Args:
        location: The bucket and the prefix.
    """

    def __init__(self, location: S3Location) -> None:
        self._store = ObjectStore(location)
        self._checked = False

    def names(self) -> Iterable[str]:
        """The names of all objects."""
        return [item.name for item in self._store.list()]

    def read(self, name: str) -> bytes | None:
        """The bytes of an object, or None."""
        try:
            return self._store.get_bytes(name, limit=_LIMIT)[0]
        except MissingObjectError:
            return None

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one.

        Raises:
            StoreError: The store ignores the condition, or cannot be used.
        """
        if not self._checked:
            check_conditions(self._store)
            self._checked = True
        try:
            self._store.put(name, content, only_new=True)
        except PreconditionError:
            return False
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects."""
        self._store.remove(names)

    def describe(self, name: str) -> str:
        """The address."""
        return str(self._store.location.url(name))
