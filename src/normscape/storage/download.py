"""Objects into files: streamed, resumed after an interruption, verified, then renamed."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from normscape.errors import NormscapeError
from normscape.files import sha256_file, unwritable
from normscape.storage.client import MissingObjectError, PreconditionError, StoreError
from normscape.storage.store import ObjectStore, StoredObject

_CHUNK = 1 << 20
_ATTEMPTS = 5


class DamagedObjectError(NormscapeError):
    """The bytes of an object are not those that were once written."""


def download(
    store: ObjectStore,
    name: str,
    target: Path,
    *,
    sha256: str | None = None,
    limit: int | None = None,
) -> None:
    """Write an object to `target`, which is replaced as a whole once every byte is there.

    What an interrupted download has left beside `target` is continued; of several processes that
    want the same file, one downloads and the others wait for it.

    Args:
        store: Where the object is.
        name: The object.
        target: The file; its folder is made.
        sha256: Of the content, if it is known; the file is verified against it.
        limit: The most bytes that are accepted, if that is known.

    Raises:
        MissingObjectError: There is no such object.
        DamagedObjectError: The content has another hash, or is larger than `limit`.
        StoreError: The store cannot be used, or the object was replaced meanwhile.
        NormscapeError: The file cannot be written.
    """
    head = store.head(name)
    if head is None:
        raise _missing(store, name)
    if limit is not None and head.size > limit:
        raise DamagedObjectError(
            f"{store.location.url(name)} is damaged: it has {head.size} bytes, expected at most "
            f"{limit}; restore the object or use another one"
        )
    mark = hashlib.sha256(f"{head.etag} {head.size}".encode()).hexdigest()[:16]
    part = target.with_name(f".{target.name}.{mark}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as stream:
            if _finished(part, target, head, sha256):
                return
            _fill(store, head, stream, sha256)
            os.fsync(stream.fileno())
            part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)  # a full disk must not stay full because of it
        raise unwritable(target, error) from error


def hash_object(store: ObjectStore, name: str, *, limit: int) -> str:
    """SHA-256 of an object's bytes, read from the store and kept nowhere.

    Args:
        store: Where the object is.
        name: The object.
        limit: The size it has; it is not read any further.

    Raises:
        MissingObjectError: There is no such object.
        StoreError: The store cannot be used.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        digest, position = hashlib.sha256(), 0
        try:
            for chunk in _read(store, name):
                digest.update(chunk)
                position += len(chunk)
                if position > limit:
                    break
            return digest.hexdigest()
        except StoreError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _fill(store: ObjectStore, head: StoredObject, stream: BinaryIO, sha256: str | None) -> None:
    """Append what is missing; a wrong hash is given one more chance, from the first byte on."""
    for last in (False, True):
        _append(store, head, stream)
        if sha256 is None:
            return
        actual = sha256_file(Path(stream.name))
        if actual == sha256:
            return
        stream.truncate(0)
        if last:
            raise DamagedObjectError(
                f"{store.location.url(head.name)} is damaged: its SHA-256 is {actual[:12]}…, "
                f"expected {sha256[:12]}…; restore the object or use another one"
            )


def _append(store: ObjectStore, head: StoredObject, stream: BinaryIO) -> None:
    failures = 0
    while (position := stream.seek(0, os.SEEK_END)) < head.size:
        try:
            for chunk in _read(store, head.name, position, head.etag):
                stream.write(chunk)
            stream.flush()
        except StoreError:
            failures += 1
            if failures == _ATTEMPTS:
                raise
    if position > head.size:
        stream.truncate(0)
        raise StoreError(
            f"{store.location.url(head.name)}: {position} bytes came, expected {head.size}; run "
            "the command again"
        )


def _read(
    store: ObjectStore, name: str, position: int = 0, etag: str | None = None
) -> Iterator[bytes]:
    """The bytes from `position` on, while the object has this ETag."""
    request = dict(store.address(name))
    if etag is not None:
        request["IfMatch"] = etag  # an object replaced meanwhile must not pass for the one before
    if position:
        request["Range"] = f"bytes={position}-"
    try:
        with store.explained(name):
            answer = store.client.get_object(**request)
            missing = answer["ContentLength"]
            # A store that knows no ranges sends everything again.
            known = 0 if answer.get("ContentRange") else position
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(_CHUNK):
                    missing -= len(chunk)
                    yield chunk[known:]
                    known = max(known - len(chunk), 0)
    except PreconditionError as error:
        raise StoreError(str(error)) from None
    if missing:
        raise StoreError(
            f"{store.location.url(name)}: the connection ended {missing} bytes too early; "
            "run the command again"
        )


def _missing(store: ObjectStore, name: str) -> MissingObjectError:
    return MissingObjectError(
        f"{store.location.url(name)}: there is no such object; correct the address"
    )


def _finished(part: Path, target: Path, head: StoredObject, sha256: str | None) -> bool:
    """Whether another process has completed `target` while this one waited for the lock."""
    if sha256 is None or not target.is_file() or target.stat().st_size != head.size:
        return False
    if sha256_file(target) != sha256:
        return False
    part.unlink(missing_ok=True)
    return True


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    while True:
        with part.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            # The holder before may have renamed this very file to its target.
            if part.exists() and part.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                yield stream
                return
