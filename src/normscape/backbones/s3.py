"""Weights from S3 or a store that speaks its protocol (AWS_ENDPOINT_URL), kept in a local cache."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from normscape.errors import UsageError
from normscape.files import read_json, sha256_file, write_json
from normscape.storage.client import connect
from normscape.storage.download import download
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore


def fetch_s3(url: str, folder: Path) -> Path:
    """Return a local copy of `s3://bucket/key`, downloading it when the object is new or changed.

    A copy counts only while its size and SHA-256 are those written down when it was complete, and
    while the object's ETag is still the same.

    Raises:
        UsageError: The address is not `s3://bucket/key`, or there is no such object.
        NormscapeError: The store refuses or does not answer, or the cache cannot be written.
    """
    location = S3Location.parse(url)
    if not location.prefix:
        raise UsageError(f"backbone.weights is '{url}'; expected s3://bucket/key")
    client = connect()
    store = ObjectStore(S3Location(location.bucket), client)
    head = store.head(location.prefix)
    if head is None:
        raise UsageError(
            f"backbone.weights is '{url}', and there is no such object in "
            f"{client.meta.endpoint_url}; correct the bucket or the key"
        )
    name = hashlib.sha256(f"{client.meta.endpoint_url} {url} {head.etag}".encode()).hexdigest()
    path = folder / f"{name[:16]}{PurePosixPath(location.prefix).suffix}"
    if not _is_complete(path):
        download(store, location.prefix, path)
        write_json(_record(path), {"sha256": sha256_file(path), "size": path.stat().st_size})
    return path


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _is_complete(path: Path) -> bool:
    if not path.is_file() or not _record(path).is_file():
        return False
    try:
        record = read_json(_record(path))
    except UsageError:
        return False
    return bool(path.stat().st_size == record["size"] and sha256_file(path) == record["sha256"])
