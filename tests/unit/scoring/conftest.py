import importlib
import multiprocessing
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from normscape.scoring.local_parts import LocalParts
from normscape.scoring.parts import PartStore
from normscape.scoring.s3_parts import S3Parts
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET

Start = Callable[..., BaseProcess]


@pytest.fixture
def bucket(moto_environment, use_s3) -> ObjectStore:
    """An empty place in a bucket."""
    use_s3(moto_environment)
    return ObjectStore(S3Location(BUCKET, f"line-{uuid.uuid4().hex}"))


@pytest.fixture(
    params=["local", "moto", pytest.param("seaweedfs", marks=pytest.mark.slow)],
)
def store(request: pytest.FixtureRequest, tmp_path: Path, use_s3) -> PartStore:
    """A score log that is empty."""
    if request.param == "local":
        return LocalParts(tmp_path / "scores")
    use_s3(request.getfixturevalue(f"{request.param}_environment"))
    location = S3Location(BUCKET, f"scores/{uuid.uuid4().hex}")
    return S3Parts(ObjectStore(location), tmp_path / "cache")


@pytest.fixture
def again(store: PartStore, tmp_path: Path) -> Callable[[], PartStore]:
    """Opens the same log once more, as another process would."""
    if isinstance(store, LocalParts):
        return lambda: LocalParts(store.root)
    location = S3Location.parse(str(store))
    return lambda: S3Parts(ObjectStore(location), tmp_path / f"cache-{uuid.uuid4().hex}")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a function of `scoring_child` in a process forked from one that has imported all."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["normscape.scoring.run", "timm.models", "pandas"])
    child = importlib.import_module("scoring_child")
    started: list[BaseProcess] = []

    def begin(function: str, *arguments: Any) -> BaseProcess:
        process = context.Process(target=getattr(child, function), args=arguments)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()
