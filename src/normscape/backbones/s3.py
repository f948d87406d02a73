"""Weights from S3 or a store that speaks its protocol (AWS_ENDPOINT_URL), kept in a local cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from normscape.errors import NormscapeError, UsageError
from normscape.files import atomic_path, read_json, sha256_file, write_json

_CHUNK = 1 << 20
_CONNECT_SECONDS = 5
_READ_SECONDS = 60


def fetch_s3(url: str, folder: Path) -> Path:
    """Return a local copy of `s3://bucket/key`, downloading it when the object is new or changed.

    A copy counts only while its size and SHA-256 are those written down when it was complete, and
    while the object's ETag is still the same.

    Raises:
        UsageError: The address is not `s3://bucket/key`, or there is no such object.
        NormscapeError: The store refuses or does not answer, or the cache cannot be written.
    """
    from boto3 import client
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(url)
    bucket, key = parts.netloc, parts.path.lstrip("/")
    if not bucket or not key:
        raise UsageError(f"backbone.weights is '{url}'; expected s3://bucket/key")
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "max_attempts": 3},
    )
    try:
        store = client("s3", endpoint_url=endpoint, config=config)
        head = store.head_object(Bucket=bucket, Key=key)
        name = hashlib.sha256(f"{endpoint} {url} {head['ETag']}".encode()).hexdigest()[:16]
        path = folder / f"{name}{PurePosixPath(key).suffix}"
        if not _is_complete(path):
            _download(store, bucket, key, head, path)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in {"404", "NoSuchKey", "NoSuchBucket"}:
            raise UsageError(
                f"backbone.weights is '{url}', and {endpoint or 'S3'} has no such object; "
                "correct the bucket or the key"
            ) from None
        raise NormscapeError(
            f"{url}: {endpoint or 'S3'} refused with {code}; check the credentials "
            "(AWS_ACCESS_KEY_ID, AWS_PROFILE) and what they may read"
        ) from None
    except BotoCoreError as error:
        raise NormscapeError(
            f"{url}: {endpoint or 'S3'} cannot be used: {error}; check AWS_ENDPOINT_URL, the "
            "network and the credentials"
        ) from None
    return path


def _download(store: Any, bucket: str, key: str, head: dict[str, Any], path: Path) -> None:
    digest = hashlib.sha256()
    # IfMatch: an object replaced between the two requests must not pass for the one looked at.
    answer = store.get_object(Bucket=bucket, Key=key, IfMatch=head["ETag"])
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for chunk in answer["Body"].iter_chunks(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
        written = stream.tell()
        if written != head["ContentLength"]:
            raise NormscapeError(
                f"s3://{bucket}/{key}: {written} bytes came, expected {head['ContentLength']}; "
                "run the command again"
            )
    write_json(_record(path), {"sha256": digest.hexdigest(), "size": written})


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
