"""What keeps garbage collection of a store without locks from what is being used.

Whoever is about to need a version or an object first writes a *pin* that names it, and then looks
at the *mark* of a collection. A collection first writes its mark, which names what it is about to
remove, and then reads all pins. Whichever comes second sees the other: the collection spares what
is pinned; the user waits until the collection has ended, and then looks at what is left.

pins/<id>.json    what a registration or an alias move needs, while it runs
collecting.json   what a collection is about to remove, while it runs
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from normscape.errors import BusyError, NormscapeError
from normscape.registry.base import LEFTOVER_AGE
from normscape.registry.documents import seal, unseal
from normscape.storage.client import MissingObjectError, PreconditionError
from normscape.storage.store import ObjectStore

MARK = "collecting.json"
LEASE = timedelta(minutes=5)
"""A mark that was not renewed for so long belongs to a collection that was killed."""

_LIMIT = 64 << 20
_POLL_SECONDS = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Names:
    """Versions, and objects by their SHA-256."""

    versions: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()

    def meets(self, other: Names) -> bool:
        """Whether both name the same version or object."""
        return not (
            self.versions.isdisjoint(other.versions) and self.objects.isdisjoint(other.objects)
        )

    def encode(self) -> bytes:
        """As a document, unlike any other."""
        content = {"versions": sorted(self.versions), "objects": sorted(self.objects)}
        return seal({**content, "id": uuid.uuid4().hex})

    @classmethod
    def decode(cls, data: bytes, where: str) -> Names:
        """Read a document; raises a NormscapeError when it is damaged."""
        content = unseal(data, where)
        return cls(frozenset(content.get("versions", ())), frozenset(content.get("objects", ())))


@contextmanager
def pinned(store: ObjectStore, names: Names) -> Iterator[Callable[[], None]]:
    """Keep collections from what is named; waits for one that is about to remove some of it.

    Yields:
        To be called before the change that rests on the names: raises a NormscapeError when the
        work took so long that the pin may have been taken for abandoned.
    """
    pin = f"pins/{uuid.uuid4().hex}.json"
    started = time.monotonic()

    def check() -> None:
        if time.monotonic() - started > LEFTOVER_AGE.total_seconds() / 2:
            raise NormscapeError(
                f"{store.location}: this took longer than half a day, and garbage collection may "
                "have removed what was sent; nothing was changed, run the command again"
            )

    try:
        store.put(pin, names.encode())
        _wait(store, names)
        yield check
    finally:
        with suppress(NormscapeError):  # one that stays is removed by a later collection
            store.remove([pin])


def all_pinned(store: ObjectStore) -> tuple[Names, list[str]]:
    """What is pinned now, and the names of pins whose owners must be dead."""
    oldest = store.now() - LEFTOVER_AGE
    versions: set[str] = set()
    objects: set[str] = set()
    abandoned = []
    for item in store.list("pins/"):
        if item.modified < oldest:
            abandoned.append(item.name)
            continue
        with suppress(MissingObjectError):  # released meanwhile
            data, _ = store.get_bytes(item.name, limit=_LIMIT)
            names = Names.decode(data, store.location.url(item.name))
            versions |= names.versions
            objects |= names.objects
    return Names(frozenset(versions), frozenset(objects)), abandoned


class Mark:
    """The mark of this process's collection; see `marked`."""

    def __init__(self, store: ObjectStore, names: Names, etag: str) -> None:
        self._store, self._names, self._etag = store, names, etag
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """To be called before every step that removes something.

        Raises:
            BusyError: The mark may have been taken for abandoned; nothing more may be removed.
        """
        age = time.monotonic() - self._renewed
        if age < LEASE.total_seconds() / 10:
            return
        try:
            if age > LEASE.total_seconds() / 2:
                raise PreconditionError("")
            self._etag = self._store.put(MARK, self._names.encode(), replaces=self._etag)
        except PreconditionError:
            raise BusyError(
                f"{self._store.location}: this garbage collection stood still for so long that "
                "others may have taken it for dead; what it removed so far is gone for good, run "
                "it again for the rest"
            ) from None
        self._renewed = time.monotonic()

    def remove(self) -> None:
        """Let the others go on; a mark that may be another collection's by now is left."""
        if time.monotonic() - self._renewed < LEASE.total_seconds() / 2:
            with suppress(NormscapeError):  # they wait no longer than the lease
                self._store.remove([MARK])


@contextmanager
def marked(store: ObjectStore, names: Names) -> Iterator[Mark]:
    """Announce what a collection is about to remove; one collection at a time.

    Raises:
        BusyError: Another one is under way.
    """
    found = _mark(store)
    data = names.encode()
    try:
        if found is None:
            etag = store.put(MARK, data, only_new=True)
        elif found[2] > LEASE:
            etag = store.put(MARK, data, replaces=found[1])
        else:
            raise PreconditionError("")
    except PreconditionError:
        raise BusyError(
            f"{store.location}: another garbage collection is under way; wait for it to end (one "
            f"that was killed counts as ended after {LEASE.seconds // 60} minutes)"
        ) from None
    mark = Mark(store, names, etag)
    try:
        yield mark
    finally:
        mark.remove()


def _wait(store: ObjectStore, names: Names) -> None:
    told = False
    while (found := _mark(store)) is not None:
        condemned, _, age = found
        if age > LEASE or not names.meets(condemned):
            return
        if not told:
            logger.warning("%s: waiting for the garbage collection to end", store.location)
            told = True
        time.sleep(_POLL_SECONDS)


def _mark(store: ObjectStore) -> tuple[Names, str, timedelta] | None:
    while (head := store.head(MARK)) is not None:
        try:
            data, etag = store.get_bytes(MARK, limit=_LIMIT)
        except MissingObjectError:
            return None
        if etag == head.etag:  # else it was replaced in between, and this age is another mark's
            return Names.decode(data, store.location.url(MARK)), etag, store.now() - head.modified
    return None
