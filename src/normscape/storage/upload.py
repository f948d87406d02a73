"""Files into objects: in parts that a later run continues where an earlier one was stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from normscape.storage.client import MissingUploadError, explained
from normscape.storage.store import ObjectStore, md5

PART_BYTES = 16 << 20
"""Size of a part; S3 asks for at least 5 MiB."""


def upload(store: ObjectStore, source: Path, name: str, *, part_bytes: int = PART_BYTES) -> None:
    """Write a file to an object; one that is larger than a part is sent in parts.

    An upload of the same object that was interrupted is continued: its parts that are in the store
    and have the MD5 of the file's are not sent again.

    Args:
        store: Where to.
        source: The file; it must not change meanwhile.
        name: The object; what is there already is replaced.
        part_bytes: Size of a part.

    Raises:
        StoreError: The store cannot be used; run it again to continue.
    """
    size = source.stat().st_size
    if size <= part_bytes:
        store.put(name, source.read_bytes())
        return
    try:
        _upload_parts(store, source, name, part_bytes)
    except MissingUploadError:
        # Somebody else sends the same content to the same place, and has just finished.
        head = store.head(name)
        if head is None or head.size != size:
            raise


def abandoned_uploads(store: ObjectStore, below: str = "") -> list[dict[str, Any]]:
    """The unfinished uploads of objects whose names start with `below`, oldest first.

    Returns:
        `name`, `id` and `started` (by the store's clock) of each.
    """
    prefix = store.location.key(below.rstrip("/")) if below else store.location.prefix
    with explained(str(store.location), store.client):
        pages = store.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=store.location.bucket, Prefix=prefix
        )
        found = [item for page in pages for item in page.get("Uploads", [])]
    root = f"{store.location.prefix}/" if store.location.prefix else ""
    return [
        {"name": u["Key"].removeprefix(root), "id": u["UploadId"], "started": u["Initiated"]}
        for u in sorted(found, key=lambda u: u["Initiated"])
        if u["Key"].startswith(root + below)
    ]


def abort_upload(store: ObjectStore, name: str, upload_id: str) -> None:
    """Remove the parts of an unfinished upload; does nothing when it is gone.

    Raises:
        StoreError: The store cannot be used.
    """
    try:
        with store.explained(name):
            store.client.abort_multipart_upload(**store.address(name), UploadId=upload_id)
    except MissingUploadError:
        return


def _upload_parts(store: ObjectStore, source: Path, name: str, part_bytes: int) -> None:
    upload_id, there = _begin(store, name)
    parts = []
    with source.open("rb") as stream:
        number = 0
        while block := stream.read(part_bytes):
            number += 1
            digest = hashlib.md5(block, usedforsecurity=False).hexdigest()
            etag = f'"{digest}"'
            if there.get(number) != (len(block), digest):
                with store.explained(name):
                    answer = store.client.upload_part(
                        **store.address(name),
                        UploadId=upload_id,
                        PartNumber=number,
                        Body=block,
                        ContentMD5=md5(block),
                    )
                etag = answer["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
    with store.explained(name):
        store.client.complete_multipart_upload(
            **store.address(name), UploadId=upload_id, MultipartUpload={"Parts": parts}
        )


def _begin(store: ObjectStore, name: str) -> tuple[str, dict[int, tuple[int, str]]]:
    """The newest unfinished upload of the object with its parts, or a new one."""
    open_uploads = [found for found in abandoned_uploads(store, name) if found["name"] == name]
    with store.explained(name):
        if not open_uploads:
            answer = store.client.create_multipart_upload(**store.address(name))
            return answer["UploadId"], {}
        upload_id = open_uploads[-1]["id"]
        pages = store.client.get_paginator("list_parts").paginate(
            **store.address(name), UploadId=upload_id
        )
        there = {
            part["PartNumber"]: (part["Size"], part["ETag"].strip('"'))
            for page in pages
            for part in page.get("Parts", [])
        }
    return upload_id, there
