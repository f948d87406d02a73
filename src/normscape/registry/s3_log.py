"""The audit log in an object store: one object an entry, written once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from normscape.errors import NormscapeError
from normscape.registry.audit import label
from normscape.registry.contract import AuditEntry
from normscape.registry.documents import LIMIT, decode_entry, encode_entry
from normscape.storage.client import MissingObjectError, PreconditionError
from normscape.storage.store import ObjectStore

S = TypeVar("S")
T = TypeVar("T")

_NAME = re.compile(r"audit/\d{8}T\d{12}Z-(?P<label>.+)-[0-9a-f]*\.json")
_READERS = 16


class S3AuditLog:
    """Entries below `audit/`; their names sort by the time of their writers."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def write(self, entry: AuditEntry) -> None:
        """Write an entry unless it is there; whoever writes it, it is the same object.

        Raises:
            StoreError: The store cannot be used.
        """
        with suppress(PreconditionError):
            self._store.put(entry_name(entry), encode_entry(entry), only_new=True)

    def has(self, entry: AuditEntry) -> bool:
        """Whether this very entry is there."""
        return self._store.head(entry_name(entry)) is not None

    def labels(self) -> dict[str, str]:
        """What there are entries of, and the names of their objects, oldest first."""
        found = {item.name: _NAME.fullmatch(item.name) for item in self._store.list("audit/")}
        return {match["label"]: name for name, match in found.items() if match}

    def read(self, names: Iterable[str]) -> tuple[list[AuditEntry], list[int]]:
        """The entries in these objects, and which of them (from 1) are damaged."""
        entries, damaged = [], []
        for position, entry in enumerate(in_parallel(self._read_one, names), start=1):
            if entry is None:
                damaged.append(position)
            else:
                entries.append(entry)
        return entries, damaged

    def _read_one(self, name: str) -> AuditEntry | None:
        try:
            data, _ = self._store.get_bytes(name, limit=LIMIT)
        except MissingObjectError:
            return None
        try:
            return decode_entry(data, name)
        except NormscapeError:
            return None


def entry_name(entry: AuditEntry) -> str:
    """The name of the object of an entry."""
    stamp = re.sub(r"[-:.]", "", entry.when.split("+")[0])
    return f"audit/{stamp}Z-{label(entry)}-{entry.id}.json"


def in_parallel(work: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """The results of requests that can be made at once, in the order of the items."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(work, items))
