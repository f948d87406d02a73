"""Bundles whose parts are small, and the stores that the contract suite runs over."""

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from normscape.files import write_json
from normscape.registry.bundle import seal
from normscape.registry.contract import Registry
from normscape.registry.gate import Check, GateDecision
from normscape.registry.local import LocalRegistry
from normscape.registry.s3 import S3Registry, object_name
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET

MakeBundle = Callable[..., Path]


def decision(*, passed: bool) -> GateDecision:
    value = 0.9 if passed else 0.5
    name, metric = "min_mean_image_auroc", "mean image AUROC"
    return GateDecision(passed, (Check(name, metric, None, value, 0.7, True, passed),))


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Write a sealed bundle; what the registry does not look into is random bytes."""
    count = 0

    def make(*, passed: bool = True, dirty: bool = False, size: int = 2000) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / "made" / str(count)
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(os.urandom(size))
        (folder / "reference.parquet").write_bytes(os.urandom(100))
        for name in ("calibration.json", "metrics.json"):
            write_json(folder / name, {"made": count})
        write_json(folder / "model.json", {"categories": ["bolt", "nut"]})
        write_json(folder / "backbone.json", {"name": "lite2"})
        write_json(folder / "gate.json", decision(passed=passed).as_dict())
        write_json(folder / "images.json", {"train": ["a" * 64], "calibration": ["b" * 64]})
        code = {"commit": "c" * 40, "dirty": dirty, "changed": ["src/x.py"] if dirty else []}
        provenance = {"data_version": "d.dir", "code": code, "packages": {"python": "3.11"}}
        write_json(folder / "provenance.json", provenance)
        for name in ("params.yaml", "dvc.lock", "model_card.md"):
            (folder / name).write_text("gate: {}\n")
        seal(folder)
        return folder

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
    path.write_bytes(_flipped(path.read_bytes()))
    return path.name


def _damage_s3(place: Path, version: str) -> str:
    store = ObjectStore(s3_location(place))
    document = _open_s3(place).document(version)
    name = object_name(document.files["model.safetensors"].sha256)
    content, _ = store.get_bytes(name, limit=1 << 30)
    store.put(name, _flipped(content))
    return "model.safetensors"


def _flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


STORES = {
    "local": Store(LocalRegistry, _damage_local),
    "moto": Store(_open_s3, _damage_s3),
    "seaweedfs": Store(_open_s3, _damage_s3),
}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, use_s3) -> Store:
    if request.param != "local":
        use_s3(request.getfixturevalue(f"{request.param}_environment"))
    return STORES[request.param]


@pytest.fixture(params=["moto", "seaweedfs"])
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
