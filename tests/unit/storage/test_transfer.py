"""Files to objects and back: resumed, verified, never half there."""

import multiprocessing
import os
from pathlib import Path

import pytest

from normscape.errors import NormscapeError
from normscape.files import sha256_file
from normscape.storage.client import MissingObjectError, StoreError, connect
from normscape.storage.download import DamagedObjectError, download, hash_object
from normscape.storage.store import ObjectStore
from normscape.storage.upload import abandoned_uploads, abort_upload, upload
from tests.faults import Fault, faulty_proxy

PART = 5 << 20
_fork = multiprocessing.get_context("fork")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(2 * PART + 1000))
    return path


def parts_sent(store: ObjectStore) -> list[int]:
    """Fills with the numbers of the parts that the client sends."""
    sent: list[int] = []
    store.client.meta.events.register(
        "before-parameter-build.s3.UploadPart",
        lambda params, **_: sent.append(params["PartNumber"]),
    )
    return sent


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1])
def test_a_file_goes_there_and_comes_back(store: ObjectStore, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(os.urandom(size))
    upload(store, source, "x/file", part_bytes=PART)
    digest = sha256_file(source)
    assert hash_object(store, "x/file", limit=size) == digest
    download(store, "x/file", target, sha256=digest, limit=size)
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    assert abandoned_uploads(store) == []


def test_a_killed_upload_is_continued(store: ObjectStore, big: Path) -> None:
    def killed() -> None:
        mine = ObjectStore(store.location)
        mine.client.meta.events.register(
            "before-send.s3.UploadPart",
            lambda request, **_: os._exit(9) if b"partNumber=3" in request.url.encode() else None,
        )
        upload(mine, big, "big", part_bytes=PART)

    process = _fork.Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == 9
    assert store.head("big") is None
    (left,) = abandoned_uploads(store)
    assert left["name"] == "big"
    sent = parts_sent(store)
    upload(store, big, "big", part_bytes=PART)
    assert sent == [3]
    assert hash_object(store, "big", limit=1 << 30) == sha256_file(big)
    assert abandoned_uploads(store) == []


def test_parts_of_another_content_are_sent_again(store: ObjectStore, big: Path) -> None:
    key = store.address("big")
    identity = store.client.create_multipart_upload(**key)["UploadId"]
    content = big.read_bytes()
    for number, part in ((1, content[:PART]), (2, b"x" * PART)):
        store.client.upload_part(**key, UploadId=identity, PartNumber=number, Body=part)
    sent = parts_sent(store)
    upload(store, big, "big", part_bytes=PART)
    assert sent == [2, 3]
    assert hash_object(store, "big", limit=1 << 30) == sha256_file(big)


def test_an_abandoned_upload_can_be_removed(store: ObjectStore) -> None:
    store.client.create_multipart_upload(**store.address("a/b"))
    (left,) = abandoned_uploads(store, "a/")
    assert abandoned_uploads(store, "b/") == []
    abort_upload(store, left["name"], left["id"])
    assert abandoned_uploads(store) == []


@pytest.fixture
def through_faults(moto_store: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    with faulty_proxy(moto_store.client.meta.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield ObjectStore(moto_store.location, connect(read_seconds=1, attempts=2)), proxy


def test_a_download_that_is_cut_off_goes_on_where_it_was(through_faults, big: Path) -> None:
    store, proxy = through_faults
    upload(store, big, "big")
    proxy.faults = [Fault("truncate", "GET", times=3)]
    target = big.with_name("target")
    ranges: list[str | None] = []
    store.client.meta.events.register(
        "before-parameter-build.s3.GetObject",
        lambda params, **_: ranges.append(params.get("Range")),
    )
    download(store, "big", target, sha256=sha256_file(big))
    assert sha256_file(target) == sha256_file(big)
    assert ranges[0] is None
    assert all(ranges[1:])


@pytest.mark.slow
def test_a_download_that_was_given_up_is_continued_by_the_next(through_faults, big: Path) -> None:
    store, proxy = through_faults
    upload(store, big, "big")
    target = big.with_name("target")
    proxy.faults = [Fault("truncate", "GET", times=1), Fault("500", "GET", times=99)]
    with pytest.raises(StoreError):
        download(store, "big", target, sha256=sha256_file(big))
    assert not target.exists()
    (part,) = big.parent.glob(".target.*.part")
    assert part.stat().st_size > 0
    proxy.faults.clear()
    download(store, "big", target, sha256=sha256_file(big))
    assert sha256_file(target) == sha256_file(big)
    assert not part.exists()


@pytest.mark.slow
def test_a_flipped_byte_is_fetched_again_or_named(through_faults, big: Path) -> None:
    store, proxy = through_faults
    upload(store, big, "big")
    target = big.with_name("target")
    proxy.faults = [Fault("flip", "GET")]
    download(store, "big", target, sha256=sha256_file(big))
    assert sha256_file(target) == sha256_file(big)
    target.unlink()
    proxy.faults = [Fault("flip", "GET", times=99)]
    with pytest.raises(DamagedObjectError, match=r"big is damaged: its SHA-256"):
        download(store, "big", target, sha256=sha256_file(big))
    assert not target.exists()


def test_what_is_left_of_another_content_is_not_continued(moto_store, big: Path) -> None:
    target = big.with_name("target")
    upload(moto_store, big, "big")
    head = moto_store.head("big")
    assert head is not None
    (big.parent / ".target.0123456789abcdef.part").write_bytes(b"x" * 99)
    download(moto_store, "big", target, sha256=sha256_file(big))
    assert sha256_file(target) == sha256_file(big)


def test_a_missing_or_oversized_object_is_named(moto_store, tmp_path: Path) -> None:
    with pytest.raises(MissingObjectError, match="no such object"):
        download(moto_store, "none", tmp_path / "x")
    moto_store.put("a", b"12345")
    with pytest.raises(DamagedObjectError, match="5 bytes, expected at most 4"):
        download(moto_store, "a", tmp_path / "x", limit=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_many_processes_want_the_same_file(moto_store, big: Path) -> None:
    upload(moto_store, big, "big")
    digest, target = sha256_file(big), big.with_name("target")

    def fetch() -> None:
        download(ObjectStore(moto_store.location), "big", target, sha256=digest)
        os._exit(0 if sha256_file(target) == digest else 1)

    processes = [_fork.Process(target=fetch) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(path.name for path in big.parent.iterdir()) == ["big.bin", "target"]


def test_a_full_disk_is_named_and_left_as_it_was(moto_store, big: Path) -> None:
    import resource

    upload(moto_store, big, "big")
    folder = big.parent / "cache"

    def fetch() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (PART, PART))
        try:
            download(ObjectStore(moto_store.location), "big", folder / "x")
        except NormscapeError as error:
            os._exit(7 if "cannot write" in str(error) else 1)

    process = _fork.Process(target=fetch)
    process.start()
    process.join()
    assert process.exitcode == 7
    assert list(folder.iterdir()) == []
