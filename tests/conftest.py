"""What all tests share: a core for each worker, their order, and real S3 servers."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest

from scripts.services import BUCKET, seaweedfs


def pytest_configure(config: pytest.Config) -> None:
    """Keep each of pytest-xdist's workers on a core: else their threads fight over all cores."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        cores = sorted(os.sched_getaffinity(0))
        number = int(worker["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that no worker ends alone with one of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    flows = Path(__file__).parent / "flows"
    items.sort(key=lambda item: (item.path not in slow, flows not in item.path.parents))


@pytest.fixture(scope="session", autouse=True)
def one_loader() -> Iterator[None]:
    """boto3 reads what S3 is once, and not for each of the many clients."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.loaders, "create_loader", lambda *_: loader)
        yield


@pytest.fixture(scope="session")
def seaweedfs_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a client of a real SeaweedFS server with the bucket `normscape`."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as service:
        yield service.environment
        service.process.kill()  # it takes seconds to end well, and nobody reads its data again


@pytest.fixture(scope="session")
def moto_environment() -> Iterator[dict[str, str]]:
    """The environment of a client of moto's server with the bucket `normscape`."""
    with moto_server() as environment:
        yield environment


@contextmanager
def moto_server() -> Iterator[dict[str, str]]:
    """Run moto's server in this process.

    It answers one request after the other: moto looks whether an object exists and then writes it,
    and of two that did so at once both would be told that they were the first.
    """
    from boto3.session import Session
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_by_one(environ: Any, start_response: Any) -> list[bytes]:
        with turn:
            return list(moto(environ, start_response))

    server = make_server(
        "127.0.0.1", 0, one_by_one, threaded=True, request_handler=MotoRequestHandler
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    session = Session("key", "secret", region_name="us-east-1")
    client = session.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket=BUCKET)
    try:
        yield environment
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def use_s3(monkeypatch: pytest.MonkeyPatch):
    """Put an environment in place, and nothing of the user's own configuration."""

    def use(environment: dict[str, str]) -> None:
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, "/dev/null")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return use
