"""Addresses of objects: checked before they come near a request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from normscape.errors import UsageError

SCHEME = "s3://"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_BYTES = 1024
_EXPECTED = "expected s3://bucket/prefix, its parts separated by single slashes"


@dataclass(frozen=True)
class S3Location:
    """A bucket and what the keys in it start with.

    Attributes:
        bucket: Its name.
        prefix: Without a slash at either end; empty: the whole bucket.
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> S3Location:
        """Read `s3://bucket/prefix`; one slash at the end is allowed.

        Raises:
            UsageError: It is no such address, or its key could be taken for another one: control
                characters, backslashes, `.`, `..` or empty parts.
        """
        if not url.startswith(SCHEME):
            raise UsageError(f"{url!r} is not an address of an object store; {_EXPECTED}")
        bucket, _, prefix = url[len(SCHEME) :].partition("/")
        if _BUCKET.fullmatch(bucket) is None or ".." in bucket:
            raise UsageError(
                f"{url!r} names the bucket {bucket!r}; expected 3 to 63 lowercase letters, digits, "
                f"'-' or '.', {_EXPECTED}"
            )
        prefix = prefix.removesuffix("/")
        if prefix:
            check_key(prefix)
        return cls(bucket, prefix)

    def __str__(self) -> str:
        return SCHEME + "/".join(part for part in (self.bucket, self.prefix) if part)

    def key(self, name: str) -> str:
        """The whole key of the object `name` below this location.

        Raises:
            UsageError: The name is not safe; see `check_key`.
        """
        check_key(name)
        return f"{self.prefix}/{name}" if self.prefix else name

    def url(self, name: str) -> str:
        """The address of the object `name`, for messages."""
        return f"{self}/{name}"


def check_key(key: str) -> None:
    """Refuse a key that a person, a shell, a proxy or a file system could read as another one.

    Raises:
        UsageError: It is empty or too long, begins or ends with a slash, or has a control
            character, a backslash, or a part that is empty, `.` or `..`.
    """
    parts = key.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise UsageError(f"the key {key!r} has an empty part, '.' or '..'; {_EXPECTED}")
    if "\\" in key or not key.isprintable():
        raise UsageError(f"the key {key!r} has a backslash or a control character; {_EXPECTED}")
    if len(key.encode("utf-8", "surrogatepass")) > _KEY_BYTES:
        raise UsageError(f"the key {key[:40]!r}… is longer than {_KEY_BYTES} bytes; shorten it")
