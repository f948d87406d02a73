"""Bundles whose parts are small, and the stores that the contract suite runs over."""

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from normscape.registry.contract import Registry
from normscape.registry.local import LocalRegistry
from normscape.registry.s3 import S3Registry, object_name
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET
from tests.faults import flipped

from .bundles import write_small_bundle

MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Write a sealed bundle; what the registry does not look into is random bytes."""
    count = 0

    def make(**options: Any) -> Path:
        nonlocal count
        count += 1
        return write_small_bundle(tmp_path / "made" / str(count), **options)

    return make


@dataclass(frozen=True)
class Store:
    """A kind of registry: `open` may be called in any process, with the same place."""

    open: Callable[[Path], Registry]
    damage: Callable[[Path, str], str]  # flips a byte of a version's model; returns its name


def _open_s3(place: Path) -> S3Registry:
    return S3Registry(ObjectStore(s3_location(place)), place / "cache")


def s3_location(place: Path) -> S3Location:
    """The prefix that stands for a place."""
    return S3Location(BUCKET, f"tests/{hashlib.sha256(str(place).encode()).hexdigest()[:16]}")


def _damage_local(place: Path, version: str) -> str:
    path = place / "versions" / version / "model.safetensors"
    path.chmod(0o644)
    path.write_bytes(flipped(path.read_bytes()))
    return path.name


def _damage_s3(place: Path, version: str) -> str:
    store = ObjectStore(s3_location(place))
    document = _open_s3(place).document(version)
    name = object_name(document.files["model.safetensors"].sha256)
    content, _ = store.get_bytes(name, limit=1 << 30)
    store.put(name, flipped(content))
    return "model.safetensors"


STORES = {
    "local": Store(LocalRegistry, _damage_local),
    "moto": Store(_open_s3, _damage_s3),
    "seaweedfs": Store(_open_s3, _damage_s3),
}


SERVED = [pytest.param(name, marks=pytest.mark.slow) for name in ("moto", "seaweedfs")]


@pytest.fixture(params=["local", *SERVED])
def store(request: pytest.FixtureRequest, use_s3) -> Store:
    if request.param != "local":
        use_s3(request.getfixturevalue(f"{request.param}_environment"))
    return STORES[request.param]


@pytest.fixture(params=["local", SERVED[1]])
def real_store(request: pytest.FixtureRequest, use_s3) -> Store:
    """The stores that run in production: not moto, where time counts."""
    if request.param != "local":
        use_s3(request.getfixturevalue(f"{request.param}_environment"))
    return STORES[request.param]


@pytest.fixture(params=SERVED)
def s3_store(request: pytest.FixtureRequest, use_s3) -> Store:
    use_s3(request.getfixturevalue(f"{request.param}_environment"))
    return STORES[request.param]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(store: Store, place: Path) -> Registry:
    return store.open(place)


@contextmanager
def small_disk(folder: Path, size: str, *options: str) -> Iterator[None]:
    """Mount an empty memory disk on `folder`, where this user may."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "tmpfs"]
    try:
        done = subprocess.run([*command, str(folder)], capture_output=True, check=False)
        mounted = done.returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a memory disk (root)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
