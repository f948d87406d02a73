"""Jobs of peers: what names a result, what a killed one leaves, what is said when things lack."""

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.peers import job as jobs
from bench.peers import knn
from bench.peers.job import Job, check_environment, decoded
from bench.peers.knn import nearest_distance
from bench.peers.runner import cached, load, run_command
from bench.peers.speed import alternate
from normscape.errors import NormscapeError, UsageError
from normscape.features.preprocess import to_batch
from normscape.files import sha256_file, write_json

JOB = Job("patchcore", 0, "net", "abc", 256, (0.5,) * 3, (0.5,) * 3)

CHANGES: dict[str, Any] = {
    "method": "padim", "seed": 1, "backbone": "other", "weights_sha256": "abd", "size": 224,
    "mean": (0.4,) * 3, "std": (0.4,) * 3, "levels": (2, 3, 4), "stride": 4, "batch": 8,
    "bank_tokens": 1000, "padim_features": 100, "settings": "other",
}  # fmt: skip


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text("anomalib==1\n")
    monkeypatch.setattr(jobs, "LOCK", path)
    monkeypatch.setattr(jobs, "ENVIRONMENT", tmp_path / ".venv-peers")
    monkeypatch.setattr(jobs, "STATE", tmp_path / "state")
    return path


def test_every_field_of_a_job_changes_its_key(lock: Path) -> None:
    assert set(CHANGES) == {field.name for field in fields(Job)}
    keys = {replace(JOB, **{name: value}).key(["a"], ["b"]) for name, value in CHANGES.items()}
    assert len(keys | {JOB.key(["a"], ["b"])}) == len(CHANGES) + 1


def test_images_their_order_and_the_lock_change_the_key(lock: Path) -> None:
    keys = [JOB.key(train, test) for train, test in (("ab", "c"), ("a", "bc"), ("ba", "c"))]
    lock.write_text("anomalib==2\n")
    keys.append(JOB.key("ab", "c"))
    lock.write_text("anomalib==1\n")
    assert len(set(keys)) == len(keys)
    assert JOB.key("ab", "c") == keys[0]


def test_the_environment_must_be_there_and_of_this_lock(lock: Path) -> None:
    with pytest.raises(UsageError, match="make bench-peers-env"):
        check_environment()
    python = lock.parent / ".venv-peers" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    stamp = lock.parent / ".venv-peers" / ".synced"
    stamp.write_text("0000\n")
    with pytest.raises(UsageError, match="was made from another"):
        check_environment()
    stamp.write_text(sha256_file(lock) + "\n")
    assert check_environment() == python


def command(folder: Path, end: str) -> list[str]:
    """A peer that writes its scores, then ends."""
    code = f"open({str(folder / 'scores.npy')!r}, 'w').write('x'); {end}"
    return [sys.executable, "-c", code]


def finishing(calls: list[Path]) -> Callable[[Path], None]:
    def produce(folder: Path) -> None:
        calls.append(folder)
        write_json(folder / "record.json", {"seconds": 1})

    return produce


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("raise SystemExit('error: no weights')", "error: no weights"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with -9"),
    ],
)
def test_a_failed_or_killed_job_leaves_nothing_and_can_run_again(
    tmp_path: Path, end: str, reason: str
) -> None:
    with pytest.raises(NormscapeError, match=reason):
        cached("k", lambda folder: run_command(command(folder, end)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]
    calls: list[Path] = []
    folder = cached("k", finishing(calls), tmp_path)
    assert (folder / "record.json").is_file()
    assert calls != [folder]  # it was filled under another name


def test_a_finished_job_is_never_run_again(tmp_path: Path) -> None:
    calls: list[Path] = []
    for key in ("one", "one", "two"):
        cached(key, finishing(calls), tmp_path)
    assert len(calls) == 2


def test_a_score_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "scores.npy", np.array([1.0, np.nan]))
    with pytest.raises(NormscapeError, match="not finite"):
        load(tmp_path)


def test_peers_get_the_pixels_that_the_project_gets(lock: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    found = np.load(decoded([path], ["hash"], 32))
    ours = to_batch([Image.fromarray(pixels)], 32)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0].transpose(2, 0, 1) / np.float32(255), ours[0])
    path.unlink()
    assert decoded([path], ["hash"], 32).is_file()  # decoded once


def test_nearest_distance_is_the_smallest_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "_QUERIES", 8)
    generator = torch.Generator().manual_seed(0)
    queries, bank = (torch.randn(count, 16, generator=generator) for count in (21, 7))
    found = nearest_distance(queries, bank)
    torch.testing.assert_close(found, torch.cdist(queries, bank).amin(dim=1))
    assert float(nearest_distance(bank, bank).max()) < 0.01


def test_rounds_take_turns() -> None:
    turns: list[str] = []
    rounds = {name: (lambda name=name: (turns.append(name), float(len(turns)))[1]) for name in "ab"}
    assert alternate(rounds, 2) == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert turns == ["a", "b", "a", "b"]
