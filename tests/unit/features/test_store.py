import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from normscape.backbones import BackboneIdentity
from normscape.errors import DataError, NormscapeError, UsageError
from normscape.features.store import FeatureStore

IDENTITY = BackboneIdentity(
    "net", "package", "ab" * 32, 64, (2, 3), (0.5,) * 3, (0.5,) * 3, "torch", "fp32"
)
SHAPES = ((3, 4, 4), (5, 2, 2))
VALUES = 3 * 16 + 5 * 4


def store(root: Path) -> FeatureStore:
    return FeatureStore(root, IDENTITY, SHAPES)


def maps(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, *shape, generator=generator).half().float() for shape in SHAPES]


def names(count: int, start: int = 0) -> list[str]:
    return [f"{number:064x}" for number in range(start, start + count)]


def test_what_was_written_is_read_in_any_order(tmp_path: Path) -> None:
    written = maps(7)
    with store(tmp_path).writer(3) as writer:
        writer.add(names(7)[:4], [level[:4] for level in written])
        writer.add(names(7)[4:], [level[4:] for level in written])
    fresh = store(tmp_path)
    assert len(list(fresh.folder.glob("*.f16"))) == 3
    order = [6, 0, 3, 3, 5]
    for level, expected in zip(fresh.read([names(7)[i] for i in order]), written, strict=True):
        assert level.dtype == torch.float32
        assert torch.equal(level, expected[order])


def test_missing_names_each_image_once_and_in_order(tmp_path: Path) -> None:
    a, b, c = names(3)
    s = store(tmp_path)
    s.append([b], maps(1))
    assert s.missing([c, b, a, c]) == [c, a]


def test_other_backbones_have_folders_of_their_own(tmp_path: Path) -> None:
    store(tmp_path).append(names(1), maps(1))
    other = BackboneIdentity.from_dict(IDENTITY.as_dict() | {"precision": "bf16"})
    assert FeatureStore(tmp_path, other, SHAPES).missing(names(1)) == names(1)


def test_an_image_without_features_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="normscape features"):
        store(tmp_path).read(names(1))


def test_values_beyond_float16_are_cut_not_infinite(tmp_path: Path) -> None:
    large = maps(1)
    large[0][0, 0, 0, 0], large[1][0, 0, 0, 0] = 1e6, -torch.inf
    s = store(tmp_path)
    s.append(names(1), large)
    first, second = s.read(names(1))
    assert float(first.max()) == 65504.0
    assert float(second.min()) == -65504.0


def test_nan_is_refused(tmp_path: Path) -> None:
    broken = maps(2)
    broken[1][1, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match=names(2)[1][:16]):
        store(tmp_path).append(names(2), broken)
    assert store(tmp_path).missing(names(2)) == names(2)


def test_maps_of_another_shape_are_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        store(tmp_path).append(names(2), maps(1))


@pytest.mark.parametrize("size", [0, 100, VALUES * 2 * 2 + 2])
def test_a_damaged_shard_is_extracted_again(tmp_path: Path, size: int) -> None:
    s = store(tmp_path)
    s.append(names(2), maps(2))
    s.append(names(1, start=2), maps(1, seed=1))
    shard = next(path for path in s.folder.glob("*.f16") if path.stat().st_size == VALUES * 4)
    with shard.open("r+b") as stream:
        stream.truncate(size)
    with pytest.warns(UserWarning, match="damaged"):
        fresh = store(tmp_path)
    assert fresh.missing(names(3)) == names(2)
    fresh.append(names(2), maps(2))
    assert torch.equal(store(tmp_path).read(names(2))[0], maps(2)[0])


def test_a_damaged_record_is_extracted_again(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.append(names(1), maps(1))
    (record,) = s.folder.glob("*.json")
    record.write_text('{"sha256": [')
    with pytest.warns(UserWarning, match="damaged"):
        assert store(tmp_path).missing(names(1)) == names(1)


def test_a_shard_cut_short_under_a_reader_is_one_clear_error(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.append(names(2), maps(2))
    (shard,) = s.folder.glob("*.f16")
    shard.write_bytes(b"")
    with pytest.raises(DataError, match="normscape features"):
        s.read(names(2))


def test_data_without_a_record_do_not_exist_and_go_when_old(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.append(names(1), maps(1))
    old, young, temporary = (s.folder / n for n in ("old.f16", "young.f16", ".old.tmp.f16"))
    for path in (old, young, temporary):
        path.write_bytes(bytes(VALUES * 2))
    yesterday = time.time() - 86400
    for path in (old, temporary, *s.folder.glob("*.json")):
        os.utime(path, (yesterday, yesterday))
    fresh = store(tmp_path)
    assert len(fresh) == 1
    fresh.append(names(1, start=1), maps(1))
    assert not old.exists()
    assert not temporary.exists()
    assert young.exists()
    assert store(tmp_path).missing(names(2)) == []


def test_what_came_before_a_failure_is_kept(tmp_path: Path) -> None:
    s = store(tmp_path)
    with pytest.raises(RuntimeError), s.writer(100) as writer:
        writer.add(names(3), maps(3))
        raise RuntimeError
    assert s.missing(names(4)) == [names(4)[3]]


def test_two_writers_of_the_same_images(tmp_path: Path) -> None:
    def write(_: int) -> None:
        with store(tmp_path).writer(2) as writer:
            for number, name in enumerate(names(20)):
                writer.add([name], maps(1, seed=number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    s = store(tmp_path)
    assert len(s) == 20
    for number, level in enumerate(s.read(names(20))[0]):
        assert torch.equal(level, maps(1, seed=number)[0][0])


def test_an_unwritable_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / IDENTITY.key).write_text("a file where the folder should be")
    with pytest.raises(NormscapeError, match="cannot write"):
        store(tmp_path).append(names(1), maps(1))


@pytest.mark.slow
def test_kill_at_any_moment_leaves_a_readable_store(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
import torch
from tests_store import IDENTITY, SHAPES
from normscape.features.store import FeatureStore
store = FeatureStore(Path(sys.argv[1]), IDENTITY, SHAPES)
with store.writer(3) as writer:
    print("ready", flush=True)
    number = int(sys.argv[2])
    while True:
        writer.add([f"{number:064x}"], [torch.full((1, *shape), number % 1000) for shape in SHAPES])
        number += 1
"""
    (tmp_path / "tests_store.py").write_text(
        "from normscape.backbones import BackboneIdentity\n"
        f"SHAPES = {SHAPES!r}\nIDENTITY = {IDENTITY!r}\n"
    )
    root = tmp_path / "features"
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(root), str(attempt * 10**6)],
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.07 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    s = store(root)
    committed = [
        name
        for record in s.folder.glob("[!.]*.json")  # hidden ones were never renamed
        for name in json.loads(record.read_text())["sha256"]
    ]
    assert committed
    assert s.missing(committed) == []
    for name, level in zip(committed, s.read(committed)[1], strict=True):
        assert torch.equal(level, torch.full(SHAPES[1], float(int(name, 16) % 1000)))
