import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from normscape.params import Params, load_params
from normscape.scoring.local_parts import LocalParts
from normscape.scoring.parts import PartStore
from normscape.scoring.s3_parts import S3Parts
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore

from .project import trained_once


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_once(tmp_path_factory.getbasetemp())


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Params:
    """A copy of the trained checkout, to be changed."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    return load_params(root / "params.yaml")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = ObjectStore(S3Location(f"bucket-{uuid.uuid4().hex}", ""))
    found.client.create_bucket(Bucket=found.location.bucket)
    return found


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PartStore:
    """A score log that is empty."""
    if request.param == "local":
        return LocalParts(tmp_path / "scores")
    bucket = request.getfixturevalue("bucket")
    location = S3Location(bucket.location.bucket, "line/scores")
    return S3Parts(ObjectStore(location, bucket.client), tmp_path / "cache")
