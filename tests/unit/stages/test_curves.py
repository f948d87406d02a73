"""Curves of a training: whole after kill -9, and never a reason for the training to end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from normscape.stages.curves import training_curves

# A training of 100 steps on random tokens; with an argument it kills itself after that step.
TRAINING = """
import json, os, signal, sys
from pathlib import Path
import torch
from normscape.detectors.dpdiff.config import DPDiffConfig
from normscape.detectors.dpdiff.detector import DPDiff
from normscape.detectors.dpdiff.objective import DPDiffObjective
from normscape.detectors.train import train_detector
from normscape.params import Params
from normscape.prototypes.sample import sample_tokens
from normscape.stages.curves import training_curves
from normscape.training.checkpoint import Checkpoints

params = Params.model_validate({"detector": {
    "steps": 100, "batch_tokens": 64, "width": 8, "blocks": 1, "heads": 2, "noise_step": 20,
    "timesteps": 100, "prototype_share": 0.5, "checkpoint_seconds": 1e-9, "patience": 100}})
torch.manual_seed(0)
torch.set_num_threads(1)
detector = DPDiff(DPDiffConfig(
    tokens=16, dimensions=8, local_prototypes=(8,), local_neighbours=2, global_prototypes=4,
    global_neighbours=2, temperature=0.1, norm_power=0.5, width=8, blocks=1, heads=2,
    timesteps=100, noise_step=20, sampler_steps=1, noise_draws=1, prototype_share=0.5))
for bank in (detector.local_bank, detector.global_bank):
    torch.nn.init.normal_(bank.prototypes)
def tokens(count):
    return sample_tokens([torch.randn(count, 16, 8)], [0] * count, 100_000, 0)
end = int(sys.argv[1]) if len(sys.argv) > 1 else None
def report(step, loss):
    if step == end:
        os.kill(os.getpid(), signal.SIGKILL)
objective = DPDiffObjective(detector, params)
checkpoints = Checkpoints(Path("checkpoints"), "k")
learn, held_out = tokens(24), tokens(6)
with training_curves(Path("state/dvclive/detector")) as evaluated:
    progress = train_detector(
        objective, learn, held_out, checkpoints, report=report, evaluated=evaluated)
print(json.dumps(progress.curve))
"""
ENTRY = {"step": 25, "loss": 0.5, "learning_rate": 1e-3}


def training(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TRAINING, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of every curve, by name."""
    curves = {}
    for path in sorted((folder / "plots" / "metrics").rglob("*.tsv")):
        header, *lines = path.read_text().splitlines()
        assert header == f"step\t{path.stem}"
        points = [line.split("\t") for line in lines]
        curves[path.stem] = [(int(step), float(value)) for step, value in points]
    return curves


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.slow
def test_complete_and_not_doubled_after_kill_9(tmp_path: Path) -> None:
    folder = tmp_path / "state/dvclive/detector"
    # At the evaluation after step 50 the curves are ahead of the checkpoint, which is of step 49.
    killed = training(tmp_path, "50")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [step for step, _ in read(folder)["loss"]] == [25, 50]
    with (folder / "plots/metrics/loss.tsv").open("a") as torn:
        torn.write("10")
    ended = training(tmp_path)
    assert ended.returncode == 0, ended.stderr
    curve = json.loads(ended.stdout)
    assert [entry["step"] for entry in curve] == [25, 50, 75, 100]
    names = ("loss", "diffusion", "local", "transport", "held_out", "learning_rate")
    assert read(folder) == {
        name: [(entry["step"], entry[name]) for entry in curve] for name in names
    }
    assert json.loads((folder / "metrics.json").read_text()) == curve[-1]


def test_curves_grow_with_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVCLIVE_RESUME", "1")
    for _ in range(2):
        with training_curves(Path("curves")) as evaluated:
            evaluated(ENTRY)
            assert read(Path("curves")) == {"learning_rate": [(25, 1e-3)], "loss": [(25, 0.5)]}
            evaluated({**ENTRY, "step": 50, "loss": float("nan")})
    assert [step for step, _ in read(Path("curves"))["loss"]] == [25, 50]


@pytest.mark.slow
def test_nothing_but_the_curves_is_written_in_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "start")
    with training_curves(Path("state/dvclive/detector")) as evaluated:
        evaluated(ENTRY)
    assert set(read(Path("state/dvclive/detector"))) == {"loss", "learning_rate"}
    status = subprocess.run(
        ["git", "status", "--short"], capture_output=True, text=True, check=True
    )
    assert status.stdout == "?? state/\n"


@pytest.mark.slow
@pytest.mark.parametrize("with_dvc", [False, True])
def test_a_repository_without_a_commit_costs_the_curves_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    with_dvc: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    if with_dvc:
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    folder = Path("state/dvclive/detector")
    stale = folder / "plots/metrics/loss.tsv"
    stale.parent.mkdir(parents=True)
    stale.write_text("step\tloss\n25\t1.0\n")
    with training_curves(folder) as evaluated:
        evaluated(ENTRY)
        evaluated(ENTRY)
    reason = "Empty git repo" if with_dvc else "is in a Git repository without DVC"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"warning: no training curves in {folder}: ")
    assert reason in lines[0]
    assert not stale.exists()
    assert Path(".dvc").exists() == with_dvc


def test_a_folder_that_cannot_be_written_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with training_curves(Path("file/curves")) as evaluated:
        evaluated(ENTRY)
        evaluated(ENTRY)
    assert capsys.readouterr().err.count("warning: no training curves in file/curves") == 1


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with training_curves(None) as evaluated:
        evaluated(ENTRY)
    assert not list(tmp_path.iterdir())
