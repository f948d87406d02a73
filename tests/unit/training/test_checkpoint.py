"""Checkpoint files: whole or absent, damaged counts as absent, others are bounded."""

import os

import torch

from normscape.training.checkpoint import Checkpoints, optimiser_tensors, restore_optimiser


def test_round_trip_and_removal(tmp_path):
    checkpoints = Checkpoints(tmp_path, "key")
    assert checkpoints.load() is None
    checkpoints.save({"a": torch.eye(3)}, {"step": 5, "curve": [{"loss": 0.1}]})
    tensors, progress = checkpoints.load()
    assert torch.equal(tensors["a"], torch.eye(3))
    assert progress == {"step": 5, "curve": [{"loss": 0.1}]}
    checkpoints.remove()
    assert checkpoints.load() is None


def test_a_damaged_file_counts_as_none(tmp_path):
    checkpoints = Checkpoints(tmp_path, "key")
    checkpoints.save({"a": torch.ones(100)}, {"step": 5})
    path = tmp_path / "key" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    assert checkpoints.load() is None


def test_old_trainings_are_pruned(tmp_path):
    for number in range(6):
        Checkpoints(tmp_path, f"old{number}").save({"a": torch.ones(1)}, {})
        os.utime(tmp_path / f"old{number}", (number, number))
    mine = Checkpoints(tmp_path, "old0")
    mine.prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old0", "old3", "old4", "old5"]


def test_optimiser_round_trip():
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([weight], lr=0.1)
    for _ in range(3):
        (weight**2).sum().backward()
        optimiser.step()
    saved = optimiser_tensors(optimiser)
    other = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    restore_optimiser(other, saved)
    restored = optimiser_tensors(other)
    assert set(saved) == {"0.step", "0.exp_avg", "0.exp_avg_sq"}
    assert all(torch.equal(saved[name], restored[name]) for name in saved)
