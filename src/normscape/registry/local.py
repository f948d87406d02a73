"""The registry in a local (or mounted) folder.

versions/v0001/          an immutable bundle, read-only
versions/v0001.json      its files, figures, and the audit entry of its registration
versions/.incoming-*/    a registration under way, or what a killed one has left
collected/v0001.json     written before the bytes of a version are collected
aliases/production.json  where an alias points; replaced as a whole, under the lock
audit.jsonl              who changed what, when and why
.lock                    held for claims, alias moves and log entries, never while files are copied

It needs a POSIX file system whose `rename` and `flock` hold between the machines that write.
"""

from __future__ import annotations

import errno
import fcntl
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from normscape.errors import NormscapeError
from normscape.files import exclusive_lock, sha256_file, unwritable
from normscape.registry import durable
from normscape.registry.audit import AuditLog, label, new_entry
from normscape.registry.base import StoredRegistry
from normscape.registry.bundle import INDEX, Bundle
from normscape.registry.contract import (
    AuditEntry,
    Collection,
    History,
    KeepRule,
    VersionSummary,
    check_reason,
)
from normscape.registry.documents import (
    AliasDocument,
    StoredFile,
    VersionDocument,
    decode_entry,
    encode_entry,
)
from normscape.registry.figures import figures_of
from normscape.registry.names import is_alias, is_version, number

_LOCK_SECONDS = 60.0
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_INCOMING = ".incoming-"


class LocalRegistry(StoredRegistry):
    """A registry in a folder of a POSIX file system; see `Registry` for what it promises.

    Args:
        root: The folder; made when something is first registered.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = str(root)
        self._audit = AuditLog(root / "audit.jsonl")

    def register(self, folder: Path, *, reason: str) -> str:
        """Copy, verify, make read-only, and claim the next number with one rename."""
        check_reason(reason)
        names = [*Bundle.load(folder).files, INDEX]
        with self._incoming() as temporary:
            for name in names:
                durable.copy_file(folder / name, temporary / name)
            # The copy is what will be served, so the copy is what is verified.
            bundle = Bundle.load(temporary)
            hashes = {**bundle.files, INDEX: sha256_file(temporary / INDEX)}
            files = {
                name: StoredFile(digest, (temporary / name).stat().st_size)
                for name, digest in hashes.items()
            }
            figures = figures_of(bundle)
            for name in names:
                (temporary / name).chmod(0o444)
            durable.flush(temporary)
            temporary.chmod(0o555)
            with self._changing():
                entry = self._claim(temporary, files, figures, reason)
                self.append(entry)
        return entry.after

    def versions(self) -> list[str]:
        """The names of all versions, oldest first, without those that were collected."""
        collected = set(self.collected_names())
        return [version for version in self._folders() if version not in collected]

    def get(self, name: str) -> Path:
        """The folder of a version or alias."""
        return self._versions / self.resolve(name)

    def verify(self, name: str) -> None:
        """Verify every byte of a version or alias."""
        Bundle.load(self.get(name))

    def history(self) -> History:
        """The audit log, completed by the changes that a crash kept from it."""
        history = self._audit.read()
        known = {label(entry) for entry in history.entries}
        missing = [entry for entry in self._entries(known) if label(entry) not in known]
        return History((*history.entries, *missing), history.torn_lines)

    def collect(self, rule: KeepRule, *, reason: str, dry_run: bool = False) -> Collection:
        """Choose and mark under the lock, so no alias can move to a version that goes."""
        check_reason(reason)
        if not self._versions.is_dir():
            return Collection((), (), 0)
        with self._changing():
            registered = {v: _modified(self._versions / v) for v in self.versions()}
            versions = self.candidates(registered, rule, datetime.now(UTC))
            # A collection that was killed has marked versions without removing them.
            marked = [v for v in self.collected_names() if (self._versions / v).is_dir()]
            abandoned = self._abandoned()
            paths = [*(self._versions / v for v in (*versions, *marked)), *abandoned]
            size = sum(f.stat().st_size for p in paths for f in p.glob("*"))
            if not dry_run:
                for version in versions:
                    entry = new_entry("collect", version, reason)
                    durable.write_bytes(self._collected_path(version), encode_entry(entry))
                    self.append(entry)
                for path in abandoned:
                    _remove_incoming(path)
        if not dry_run:
            for version in (*versions, *marked):
                durable.remove_quietly(self._versions / version)
        leftovers = [path.name for path in abandoned] + marked
        return Collection(tuple(versions), tuple(leftovers), size)

    @property
    def _versions(self) -> Path:
        return self.root / "versions"

    def _folders(self) -> list[str]:
        try:
            names = [path.name for path in self._versions.iterdir() if is_version(path.name)]
        except FileNotFoundError:
            return []
        return sorted(names, key=number)

    def _exists(self, version: str) -> bool:
        there = (self._versions / version).is_dir()
        return there and not self._collected_path(version).exists()

    def _summary(self, version: str, gone: AuditEntry | None) -> VersionSummary:
        try:
            if gone is None:
                bundle = Bundle.glance(self._versions / version)
                return VersionSummary(version, figures_of(bundle))
            document = self._version_document(version)
        except NormscapeError as error:
            return VersionSummary(version, None, str(error), gone)
        return VersionSummary(version, document.figures if document else None, collected=gone)

    def _version_document(self, version: str) -> VersionDocument | None:
        path = self._versions / f"{version}.json"
        try:
            return VersionDocument.decode(path.read_bytes(), str(path))
        except FileNotFoundError:  # registered by the first release
            return None

    def _collected_path(self, version: str) -> Path:
        return self.root / "collected" / f"{version}.json"

    def collected_names(self) -> list[str]:
        """The names of the versions that were collected."""
        names = [path.stem for path in self._collected_path("v").parent.glob("v*.json")]
        return sorted(filter(is_version, names), key=number)

    def _collected(self, version: str) -> AuditEntry | None:
        path = self._collected_path(version)
        try:
            return decode_entry(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        what = "another change of the registry"
        try:
            with exclusive_lock(self.root / ".lock", what, wait_seconds=_LOCK_SECONDS):
                yield
        except OSError as error:
            raise unwritable(self.root, error) from error

    def _holding(self, version: str) -> AbstractContextManager[None]:
        return nullcontext()  # collection takes the lock that every alias moves under

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        """A new folder beside the versions, marked as alive by a lock that dies with us."""
        temporary = self._versions / f"{_INCOMING}{uuid.uuid4().hex}"
        mark = temporary.with_name(f"{temporary.name}.lock")
        with self._changing():
            self._versions.mkdir(parents=True, exist_ok=True)
            for abandoned in self._abandoned():
                _remove_incoming(abandoned)
            alive = mark.open("w")
            fcntl.flock(alive, fcntl.LOCK_EX)
            temporary.mkdir()
        with alive:
            try:
                yield temporary
            except OSError as error:
                raise unwritable(temporary, error) from error
            finally:
                durable.remove_quietly(temporary)
                durable.remove_quietly(mark)

    def _abandoned(self) -> list[Path]:
        """What killed registrations have left; the caller holds the lock."""
        found = []
        for mark in self._versions.glob(f"{_INCOMING}*.lock"):
            with mark.open("w") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                found.append(mark.with_suffix(""))
        return found

    def _claim(
        self, temporary: Path, files: dict[str, StoredFile], figures: dict[str, Any], reason: str
    ) -> AuditEntry:
        # The log too, so that a number is not given again after its folder was deleted by hand:
        # score logs name it.
        logged = [entry.after for entry in self._audit.read().entries]
        used = [*self._folders(), *self.collected_names(), *logged]
        count = max(map(number, used), default=0)
        while True:
            count += 1
            entry = new_entry("register", f"v{count:04d}", reason)
            target = self._versions / entry.after
            document = target.with_suffix(".json")
            durable.write_bytes(document, VersionDocument(files, figures, entry).encode())
            try:
                temporary.rename(target)
            except OSError as error:
                durable.remove_quietly(document)
                if error.errno not in _TAKEN:
                    raise
                continue
            durable.flush(self._versions)
            return entry

    def _log(self, entry: AuditEntry) -> None:
        if label(entry) in {label(known) for known in self._audit.read().entries}:
            return
        try:
            self._audit.append(entry)
        except OSError as error:
            raise unwritable(self._audit.path, error) from error

    def _entries(self, known: set[str]) -> Iterator[AuditEntry]:
        """The entries that are kept elsewhere; of a version only those that are not known."""
        for version in self._folders():
            if f"register-{version}" not in known and (found := self._version_document(version)):
                yield found.entry
        for document in self._alias_documents():
            yield document.entry
        for version in self.collected_names():
            if f"collect-{version}" not in known and (gone := self._collected(version)):
                yield gone

    def _alias_path(self, name: str) -> Path:
        return self.root / "aliases" / f"{name}.json"

    def _alias_names(self) -> list[str]:
        paths = sorted(self._alias_path("*").parent.glob("[a-z]*.json"))
        return [path.stem for path in paths if is_alias(path.stem)]

    def _read_alias(self, name: str) -> tuple[AliasDocument, str] | None:
        path = self._alias_path(name)
        try:
            return AliasDocument.decode(path.read_bytes(), str(path)), ""
        except FileNotFoundError:
            return None

    def _swap(
        self, name: str, document: AliasDocument, found: tuple[AliasDocument, str] | None
    ) -> None:
        durable.write_bytes(self._alias_path(name), document.encode())


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _remove_incoming(path: Path) -> None:
    durable.remove_quietly(path)
    durable.remove_quietly(path.with_name(f"{path.name}.lock"))
