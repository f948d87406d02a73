"""Bundles whose parts are small, and the stores that the contract suite runs over."""

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
from normscape.registry.store import LocalRegistry
from tests.unit.bundles import write_parts

MakeBundle = Callable[..., Path]


def decision(*, passed: bool) -> GateDecision:
    value = 0.9 if passed else 0.5
    name, metric = "min_mean_image_auroc", "mean image AUROC"
    return GateDecision(passed, (Check(name, metric, None, value, 0.7, True, passed),))


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Write a sealed bundle; its tensors are random bytes."""
    count = 0

    def make(*, passed: bool = True, dirty: bool = False, size: int = 2000) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / "made" / str(count)
        folder.mkdir(parents=True)
        write_parts(folder, ("bolt", "nut"), size)
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
    damage: Callable[[Path, str], Path]  # flips a byte of a version's model; returns the file


def _damage_local(place: Path, version: str) -> Path:
    path = place / "versions" / version / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    return path


STORES = {"local": Store(LocalRegistry, _damage_local)}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest) -> Store:
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
