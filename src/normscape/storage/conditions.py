"""Does the store honour conditional writes? Without them two writers would both win."""

from __future__ import annotations

import uuid

from normscape.storage.client import MissingObjectError, PreconditionError, StoreError
from normscape.storage.store import ObjectStore

PROBES = ".probe/"
"""Where the objects of the check are; one that a killed process has left may be removed."""


def check_conditions(store: ObjectStore) -> None:
    """Prove that the store honours If-None-Match and If-Match, with one object of our own.

    Raises:
        StoreError: It does not, or it cannot be used.
    """
    name = f"{PROBES}{uuid.uuid4().hex}"
    try:
        _refuses(store, name, "If-Match on a missing object", replaces=f'"{"0" * 32}"')
        first = store.put(name, b"first", only_new=True)
        _refuses(store, name, "If-None-Match: *", only_new=True)
        second = store.put(name, b"second", replaces=first)
        _refuses(store, name, "If-Match with an old ETag", replaces=first)
        content, etag = store.get_bytes(name, limit=1000)
        if (content, etag) != (b"second", second):
            raise StoreError(
                f"{store.location} does not return what was written last; the registry needs a "
                "store with read-after-write consistency, use another one"
            )
    except PreconditionError:
        raise StoreError(
            f"{store.location} refuses a conditional write whose condition holds; the registry "
            "needs a store that honours If-None-Match and If-Match, use another one"
        ) from None
    finally:
        store.remove([name])


def _refuses(
    store: ObjectStore, name: str, what: str, *, only_new: bool = False, replaces: str | None = None
) -> None:
    try:
        store.put(name, b"must not be written", only_new=only_new, replaces=replaces)
    except (PreconditionError, MissingObjectError):
        return
    raise StoreError(
        f"{store.location} ignores {what}: two writers would both win; the registry needs a store "
        "that honours conditional writes, such as S3 or SeaweedFS, use another one"
    )
