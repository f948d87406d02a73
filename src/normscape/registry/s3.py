"""The registry in S3, or in a store that speaks its protocol and honours conditional writes.

objects/sha256/ab/ab12…   the files of bundles, named by their content; never changed
versions/v0001.json       a version: names and hashes of its files; claimed with If-None-Match
collected/v0001.json      written before the bytes of a version are collected
aliases/production.json   where an alias points; moved with If-Match
audit/<time>-<what>.json  who changed what, when and why; one object an entry
pins/  collecting.json    what keeps garbage collection from what is being used; see `pins`
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from normscape.errors import BusyError, NormscapeError
from normscape.files import sha256_file
from normscape.registry.audit import in_order, new_entry
from normscape.registry.base import StoredRegistry
from normscape.registry.bundle import INDEX, Bundle, BundleError
from normscape.registry.cache import BundleCache
from normscape.registry.contract import (
    AliasState,
    AuditEntry,
    Collection,
    History,
    KeepRule,
    VersionSummary,
    check_reason,
    require_unchanged,
)
from normscape.registry.documents import (
    LIMIT,
    AliasDocument,
    StoredFile,
    VersionDocument,
    decode_entry,
)
from normscape.registry.figures import figures_of
from normscape.registry.names import is_alias, is_version, number
from normscape.registry.pins import Names, pinned
from normscape.registry.s3_log import S3AuditLog, in_parallel
from normscape.storage.client import (
    MissingObjectError,
    PreconditionError,
    StoreError,
    endpoint,
)
from normscape.storage.conditions import check_conditions
from normscape.storage.download import DamagedObjectError, download, hash_object
from normscape.storage.store import ObjectStore
from normscape.storage.upload import PART_BYTES, upload

_CLAIMS = 500
_SWAPS = 5
_PAUSE_SECONDS = 0.2

_proven: set[tuple[str, str]] = set()


class S3Registry(StoredRegistry):
    """A registry in an object store; see `Registry` for what it promises.

    The store's conditional writes are tried out before the first change.

    Args:
        store: Where it is.
        cache: Folder for copies of bundles on this machine.
        part_bytes: Files that are larger are sent in parts of this size.
    """

    def __init__(self, store: ObjectStore, cache: Path, *, part_bytes: int = PART_BYTES) -> None:
        self.store = store
        self.place = str(store.location)
        self._cache = BundleCache(cache)
        self._part_bytes = part_bytes
        self._audit = S3AuditLog(store)

    def register(self, folder: Path, *, reason: str) -> str:
        """Send the files by their hashes, read them back, then claim the next number."""
        check_reason(reason)
        bundle = Bundle.load(folder)
        hashes = {**bundle.files, INDEX: sha256_file(folder / INDEX)}
        files = {n: StoredFile(sha, (folder / n).stat().st_size) for n, sha in hashes.items()}
        figures = figures_of(bundle)
        _prove(self.store)
        with pinned(self.store, Names(objects=frozenset(hashes.values()))) as check:
            for name, file in files.items():
                self._send(folder / name, file)
            check()
            entry = self._claim(files, figures, reason)
        self.append(entry)
        return entry.after

    def versions(self) -> list[str]:
        """The names of all versions, oldest first, without those that were collected."""
        return sorted({*self._names("versions")} - {*self._names("collected")}, key=number)

    def get(self, name: str) -> Path:
        """A verified copy on this machine."""
        version = self.resolve(name)
        document = self.document(version)

        def fetch(file: StoredFile, path: Path) -> None:
            name = object_name(file.sha256)
            with self._damage_explained(version, path.name):
                download(self.store, name, path, sha256=file.sha256, limit=file.size)

        return self._cache.folder(document, fetch)

    def verify(self, name: str) -> None:
        """Read every object of a version and compare its hash."""
        version = self.resolve(name)
        files = self.document(version).files.items()

        def verify(item: tuple[str, StoredFile]) -> None:
            file_name, file = item
            with self._damage_explained(version, file_name):
                self._verify(file)

        in_parallel(verify, files)

    def history(self) -> History:
        """The audit log, completed by the changes that a crash kept from it."""
        logged = self._audit.labels()
        entries, damaged = self._audit.read(logged.values())
        registered = {f"register-{v}": v for v in self._names("versions")}
        missing = [v for name, v in registered.items() if name not in logged]
        entries += [document.entry for document in in_parallel(self.document, missing)]
        for version in self._names("collected"):
            if f"collect-{version}" not in logged and (gone := self._collected(version)):
                entries.append(gone)
        for document in self._alias_documents():
            if document.entry not in entries:
                entries.append(document.entry)
        return History(tuple(in_order(entries)), tuple(damaged))

    def collect(self, rule: KeepRule, *, reason: str, dry_run: bool = False) -> Collection:
        """Remove what nothing needs; see `normscape.registry.s3_collection`."""
        from normscape.registry.s3_collection import S3Collector

        check_reason(reason)
        _prove(self.store)
        return S3Collector(self, self._cache).run(rule, reason=reason, dry_run=dry_run)

    def document(self, version: str) -> VersionDocument:
        """What makes a version, collected or not.

        Raises:
            MissingObjectError: There is no such version.
            NormscapeError: The document is damaged.
        """
        name = f"versions/{version}.json"
        data, _ = self.store.get_bytes(name, limit=LIMIT)
        document = VersionDocument.decode(data, self.store.location.url(name))
        if document.entry.after != version:
            raise NormscapeError(
                f"{self.store.location.url(name)} is the document of {document.entry.after}; "
                "restore it, or use another version"
            )
        return document

    def _send(self, path: Path, file: StoredFile) -> None:
        name = object_name(file.sha256)
        head = self.store.head(name)
        if head is not None and head.size == file.size:
            with suppress(DamagedObjectError):  # it is sent anew
                return self._verify(file)
        upload(self.store, path, name, part_bytes=self._part_bytes)
        # What will be served is what is in the store, so that is what is verified.
        self._verify(file)

    def _verify(self, file: StoredFile) -> None:
        name = object_name(file.sha256)
        actual = hash_object(self.store, name, limit=file.size)
        if actual != file.sha256:
            raise DamagedObjectError(
                f"{self.store.location.url(name)} is damaged: its SHA-256 is {actual[:12]}…; "
                "restore it or use another version"
            )

    def _claim(
        self, files: dict[str, StoredFile], figures: dict[str, Any], reason: str
    ) -> AuditEntry:
        count = 1 + max(map(number, self._names("versions")), default=0)
        for _ in range(_CLAIMS):
            entry = new_entry("register", f"v{count:04d}", reason)
            name = f"versions/{entry.after}.json"
            try:
                if self.store.head(name) is None:
                    document = VersionDocument(files, figures, entry)
                    self.store.put(name, document.encode(), only_new=True)
                    return entry
                count += 1
            except PreconditionError:
                time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 (to part the racers)
        raise BusyError(f"{self.place}: too many others are registering; run it again later")

    def _names(self, folder: str) -> list[str]:
        found = (item.name for item in self.store.list(f"{folder}/"))
        names = (name.removeprefix(f"{folder}/").removesuffix(".json") for name in found)
        return [name for name in names if is_version(name)]

    def _exists(self, version: str) -> bool:
        there = self.store.head(f"versions/{version}.json") is not None
        return there and self.store.head(f"collected/{version}.json") is None

    def _summary(self, version: str, gone: AuditEntry | None) -> VersionSummary:
        try:
            figures = self.document(version).figures
        except NormscapeError as error:
            return VersionSummary(version, None, str(error), gone)
        return VersionSummary(version, figures, collected=gone)

    def _map(
        self, work: Callable[[str], VersionSummary], names: Sequence[str]
    ) -> list[VersionSummary]:
        return in_parallel(work, names)

    def collected_names(self) -> list[str]:
        """The names of the versions that were collected."""
        return self._names("collected")

    def _collected(self, version: str) -> AuditEntry | None:
        name = f"collected/{version}.json"
        try:
            data, _ = self.store.get_bytes(name, limit=LIMIT)
        except MissingObjectError:
            return None
        return decode_entry(data, self.store.location.url(name))

    def _alias_names(self) -> list[str]:
        found = (PurePosixPath(item.name) for item in self.store.list("aliases/"))
        return [p.stem for p in found if is_alias(p.stem) and str(p) == f"aliases/{p.stem}.json"]

    def _read_alias(self, name: str) -> tuple[AliasDocument, str] | None:
        key = f"aliases/{name}.json"
        try:
            data, etag = self.store.get_bytes(key, limit=LIMIT)
        except MissingObjectError:
            return None
        return AliasDocument.decode(data, self.store.location.url(key)), etag

    def _swap(
        self, name: str, document: AliasDocument, found: tuple[AliasDocument, str] | None
    ) -> None:
        key, mark = f"aliases/{name}.json", found[1] if found else None
        for _ in range(_SWAPS):
            try:
                self.store.put(key, document.encode(), only_new=mark is None, replaces=mark)
                return
            except PreconditionError:
                now = self._read_alias(name)
                # The answer to a first try may have been lost, and the next move made since: its
                # writer has put our entry into the log before.
                if self._audit.has(document.entry):
                    return
                require_unchanged(name, _state(now), _state(found))
                time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 (to part the racers)
            except StoreError as error:
                raise StoreError(
                    f"{error}; whether '{name}' was moved is not certain, look at 'models history'"
                ) from None
        raise BusyError(f"{self.place}: too many others are moving '{name}'; run it again later")

    def _log(self, entry: AuditEntry) -> None:
        self._audit.write(entry)

    def _changing(self) -> AbstractContextManager[None]:
        return nullcontext()  # the swap is atomic by itself

    @contextmanager
    def _holding(self, version: str) -> Iterator[None]:
        _prove(self.store)
        with pinned(self.store, Names(versions=frozenset({version}))):
            yield

    @contextmanager
    def _damage_explained(self, version: str, name: str) -> Iterator[None]:
        try:
            yield
        except DamagedObjectError as error:
            raise BundleError(f"{name} of {version}: {error}") from None
        except MissingObjectError as error:
            self.resolve(version)  # it may have been collected meanwhile
            raise BundleError(f"{name} of {version} is missing: {error}") from None


def object_name(sha256: str) -> str:
    """The name of the object with this content."""
    return f"objects/sha256/{sha256[:2]}/{sha256}"


def _state(found: tuple[AliasDocument, str] | None) -> AliasState | None:
    return found[0].state if found else None


def _prove(store: ObjectStore) -> None:
    """Refuse a store whose conditional writes do not hold; a process asks each store once."""
    place = (endpoint(store.client), str(store.location))
    if place not in _proven:
        check_conditions(store)
        _proven.add(place)
