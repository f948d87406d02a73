"""Copies of bundles on this machine: named by their content, shared by its processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from normscape.errors import BusyError
from normscape.files import exclusive_lock, sha256_file, unwritable
from normscape.registry import durable
from normscape.registry.documents import StoredFile, VersionDocument

_WAIT_SECONDS = 1800.0
_ID = 32
_INCOMING = ".incoming-"


class BundleCache:
    """Folders of bundles, each verified whenever it is asked for.

    Args:
        root: The folder; made when something is first kept.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, document: VersionDocument, fetch: Callable[[StoredFile, Path], None]) -> Path:
        """The folder with the files of a version.

        A copy that is damaged is made anew. Of several processes one makes it and the others wait;
        what a killed one has fetched already is used by the next.

        Args:
            document: Of the version.
            fetch: Writes the content of a stored file to a path, verified.

        Raises:
            NormscapeError: Something cannot be fetched, or the cache cannot be written.
        """
        target = self.root / document.content_id[:_ID]
        if _is_whole(target, document):
            _touch(target)
            return target
        with exclusive_lock(
            self._lock(target.name), f"the download to {target}", wait_seconds=_WAIT_SECONDS
        ):
            if not _is_whole(target, document):
                self._make(target, document, fetch)
        return target

    def remove_unused(self, keep: Collection[str], before: datetime) -> list[str]:
        """Remove copies that were last asked for before a time, but for those to keep.

        Args:
            keep: The `content_id` of versions.
            before: The time.
        """
        kept = {content_id[:_ID] for content_id in keep}
        removed = []
        for path in self.root.glob("[0-9a-f]*") if self.root.is_dir() else ():
            if path.name not in kept and _used(path) < before:
                durable.remove_quietly(path)
                removed.append(path.name)
        for path in self.root.glob(f"{_INCOMING}*"):
            if _used(path) < before:
                self._remove_incoming(path)
        return removed

    def _remove_incoming(self, path: Path) -> None:
        """Remove what a killed download has left, unless another goes on with it."""
        lock = self._lock(path.name.removeprefix(_INCOMING))
        with suppress(BusyError), exclusive_lock(lock, f"the download to {path}"):
            durable.remove_quietly(path)

    def _lock(self, name: str) -> Path:
        return self.root / f".{name}.lock"

    def _make(
        self, target: Path, document: VersionDocument, fetch: Callable[[StoredFile, Path], None]
    ) -> None:
        incoming = self.root / f"{_INCOMING}{target.name}"
        try:
            incoming.mkdir(parents=True, exist_ok=True)
            for name, file in document.files.items():
                path = incoming / name
                if not (path.is_file() and sha256_file(path) == file.sha256):
                    fetch(file, path)
            for path in incoming.iterdir():
                if path.name in document.files:
                    path.chmod(0o444)
                else:
                    path.unlink()  # part of a file that was replaced in the store
            durable.remove_quietly(target)
            incoming.rename(target)
        except OSError as error:
            raise unwritable(incoming, error) from error


def _is_whole(folder: Path, document: VersionDocument) -> bool:
    try:
        if {path.name for path in folder.iterdir()} != set(document.files):
            return False
        return all(sha256_file(folder / n) == file.sha256 for n, file in document.files.items())
    except OSError:  # there is none, or another process is making it anew
        return False


def _used(folder: Path) -> datetime:
    return datetime.fromtimestamp(folder.stat().st_mtime, UTC)


def _touch(folder: Path) -> None:
    with suppress(OSError):  # a cache that is read-only serves all the same
        os.utime(folder)
