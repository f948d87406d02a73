"""Objects below one s3://bucket/prefix: list, read, write on a condition, remove."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from normscape.errors import UsageError
from normscape.storage.client import (
    MissingObjectError,
    PreconditionError,
    StoreError,
    connect,
    explained,
)
from normscape.storage.location import S3Location

_READ_ATTEMPTS = 3
_PAGE = 1000


@dataclass(frozen=True)
class StoredObject:
    """An object as the store describes it.

    Attributes:
        name: Its key below the store's location.
        size: In bytes.
        etag: The store's mark of this content, quotes included.
        modified: When it was written, by the store's clock.
    """

    name: str
    size: int
    etag: str
    modified: datetime


class ObjectStore:
    """Objects below a location; keys are given and returned without its prefix.

    Safe to use from several threads; each process makes its own.

    Args:
        location: The bucket and the prefix.
        client: Of `normscape.storage.client.connect`; one is made when none is given.
    """

    def __init__(self, location: S3Location, client: Any = None) -> None:
        self.location = location
        self.client = connect() if client is None else client

    def list(self, below: str = "") -> Iterator[StoredObject]:
        """All objects whose names start with `below`, sorted by name, however many.

        Raises:
            UsageError: There is no such bucket.
            StoreError: The store cannot be used.
        """
        root = f"{self.location.prefix}/" if self.location.prefix else ""
        what = f"{self.location}/{below}"
        with explained(what, self.client):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.location.bucket, Prefix=root + below
            )
            for page in pages:
                for item in page.get("Contents", []):
                    name = item["Key"].removeprefix(root)
                    if not name.endswith("/"):  # what some stores list for a folder
                        yield StoredObject(name, item["Size"], item["ETag"], item["LastModified"])

    def head(self, name: str) -> StoredObject | None:
        """What the store says about an object, or None where there is none.

        Raises:
            StoreError: The store cannot be used.
        """
        try:
            with self.explained(name):
                answer = self.client.head_object(**self.address(name))
        except MissingObjectError:
            return None
        return StoredObject(name, answer["ContentLength"], answer["ETag"], answer["LastModified"])

    def get_bytes(self, name: str, *, limit: int) -> tuple[bytes, str]:
        """The whole of a small object, and its ETag; a body that is cut off is read again.

        Args:
            name: The object.
            limit: The most bytes that are accepted.

        Raises:
            MissingObjectError: There is no such object.
            UsageError: It is larger than `limit`.
            StoreError: The store cannot be used.
        """
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                return self._get_once(name, limit)
            except StoreError:
                if attempt == _READ_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def put(
        self, name: str, content: bytes, *, only_new: bool = False, replaces: str | None = None
    ) -> str:
        """Write a small object and return its ETag.

        A retry after an answer that was lost on the way finds its own write in the way: that is
        recognised by the content, so a conditional write's content must be unlike any other
        writer's.

        Args:
            name: The object.
            content: Its bytes.
            only_new: Write only where there is no such object (If-None-Match: *).
            replaces: Write only while the object has this ETag (If-Match).

        Raises:
            PreconditionError: The condition does not hold; nothing was written.
            StoreError: The store cannot be used; the object may have been written all the same.
        """
        conditions = {"IfNoneMatch": "*"} if only_new else {}
        if replaces is not None:
            conditions["IfMatch"] = replaces
        try:
            with self.explained(name):
                answer = self.client.put_object(
                    **self.address(name), Body=content, ContentMD5=md5(content), **conditions
                )
            return str(answer["ETag"])
        except MissingObjectError:
            if replaces is None:
                raise
            problem = PreconditionError(f"{self.location.url(name)} was removed by somebody else")
        except PreconditionError as error:
            problem = error
        mine = self._is(name, content) if conditions else None
        if mine is None:
            raise problem from None
        return mine

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there do not matter.

        Raises:
            StoreError: The store cannot be used, or kept one of them.
        """
        keys = [{"Key": self.location.key(name)} for name in names]
        for start in range(0, len(keys), _PAGE):
            request = {"Objects": keys[start : start + _PAGE], "Quiet": True}
            with explained(str(self.location), self.client):
                answer = self.client.delete_objects(Bucket=self.location.bucket, Delete=request)
            for problem in answer.get("Errors", []):
                raise StoreError(
                    f"s3://{self.location.bucket}/{problem.get('Key')} could not be removed: "
                    f"{problem.get('Code')}; check what the credentials may do"
                )

    def now(self) -> datetime:
        """The time by the store's own clock, to compare with what it calls `modified`.

        Raises:
            StoreError: The store cannot be used.
        """
        with explained(str(self.location), self.client):
            answer = self.client.list_objects_v2(
                Bucket=self.location.bucket, Prefix=self.location.prefix, MaxKeys=1
            )
        try:
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            return parsedate_to_datetime(headers["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return datetime.now(UTC)

    def address(self, name: str) -> dict[str, str]:
        """Bucket and key of an object, as arguments of boto3."""
        return {"Bucket": self.location.bucket, "Key": self.location.key(name)}

    def explained(self, name: str) -> Any:
        """`normscape.storage.client.explained` for one object."""
        return explained(self.location.url(name), self.client)

    def _get_once(self, name: str, limit: int) -> tuple[bytes, str]:
        with self.explained(name):
            answer = self.client.get_object(**self.address(name))
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit:
                    raise UsageError(
                        f"{self.location.url(name)} has {answer['ContentLength']} bytes; expected "
                        f"at most {limit}, do not use it"
                    )
                content = body.read(limit + 1)
        if len(content) != answer["ContentLength"]:
            raise StoreError(
                f"{self.location.url(name)}: {len(content)} bytes came, expected "
                f"{answer['ContentLength']}; run the command again"
            )
        return content, str(answer["ETag"])

    def _is(self, name: str, content: bytes) -> str | None:
        try:
            found, etag = self.get_bytes(name, limit=len(content))
        except UsageError:
            return None
        return etag if found == content else None


def md5(content: bytes) -> str:
    """MD5 as the header Content-MD5 wants it: the store refuses what arrives changed."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
