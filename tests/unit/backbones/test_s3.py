"""Weights from an S3 endpoint: a small real HTTP server on loopback that speaks the two calls."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from normscape.backbones.s3 import fetch_s3
from normscape.errors import NormscapeError, UsageError


@dataclass
class Bucket:
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    cut_to: int | None = None
    status: int = 200


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    state = Bucket()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            state.requests.append((self.command, self.path))
            content = state.objects.get(self.path)
            status = 404 if content is None else state.status
            self.send_response(status)
            if content is None or status != 200:
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')  # noqa: S324
            self.send_header("Last-Modified", formatdate(usegmt=True))
            self.end_headers()
            if body:
                self.wfile.write(content[: state.cut_to])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


URL = "s3://models/lite/w.safetensors"
PATH = "/models/lite/w.safetensors"


def gets(bucket: Bucket) -> int:
    return sum(method == "GET" for method, _ in bucket.requests)


def test_object_is_fetched_once(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects[PATH] = bytes(range(256)) * 9000  # more than one chunk
    first = fetch_s3(URL, tmp_path)
    assert first.read_bytes() == bucket.objects[PATH]
    assert first.suffix == ".safetensors"
    assert fetch_s3(URL, tmp_path) == first
    assert gets(bucket) == 1


def test_changed_object_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects[PATH] = b"old"
    fetch_s3(URL, tmp_path)
    bucket.objects[PATH] = b"new"
    assert fetch_s3(URL, tmp_path).read_bytes() == b"new"


def test_damaged_copy_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects[PATH] = b"weights"
    copy = fetch_s3(URL, tmp_path)
    copy.write_bytes(b"w3ights")
    assert fetch_s3(URL, tmp_path).read_bytes() == b"weights"
    assert gets(bucket) == 2


def test_connection_cut_in_the_middle_is_no_copy(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects[PATH] = bytes(range(250)) * 20
    bucket.cut_to = 100
    with pytest.raises(NormscapeError, match="s3://models"):
        fetch_s3(URL, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    bucket.cut_to = None
    assert fetch_s3(URL, tmp_path).read_bytes() == bucket.objects[PATH]


def test_missing_object_is_a_usage_error(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such object"):
        fetch_s3(URL, tmp_path)


def test_refused_object_names_the_credentials(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects[PATH] = b"secret"
    bucket.status = 403
    with pytest.raises(NormscapeError, match="credentials"):
        fetch_s3(URL, tmp_path)


@pytest.mark.parametrize("url", ["s3://models", "s3:///key", "s3://models/"])
def test_incomplete_address_is_a_usage_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected s3://bucket/"):
        fetch_s3(url, tmp_path)


@pytest.mark.slow
def test_store_that_does_not_answer_is_an_error_within_seconds(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(NormscapeError, match="AWS_ENDPOINT_URL"):
        fetch_s3(URL, tmp_path)
    assert time.monotonic() - start < 20
