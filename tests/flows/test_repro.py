"""A stage's processes: real DVC, killed for real; nothing survives and the next run works."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows.support import environment, find, processes_of, wait_until

pytestmark = pytest.mark.slow

# SIGINT is ignored in what a shell has started in the background, and that is inherited.
REPRODUCE = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, '.')
from pathlib import Path
from flows.environment import command
from flows.repro import reproduce
from normscape.params import load_params
def main(stage: str): reproduce(stage, load_params(Path('params.yaml')), say=print)
command(main)
"""


def arguments(stage: str) -> list[str]:
    return [sys.executable, "-c", REPRODUCE, stage]


def reproduce(project: Path, stage: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(stage), cwd=project, env=environment(project.parent / "home"),
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def start(project: Path, stage: str) -> subprocess.Popen[str]:
    """Start a stage and return when the stage itself, under DVC, is at work."""
    process = subprocess.Popen(
        arguments(stage), cwd=project, env=environment(project.parent / "home"), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: find(project, f"bin/normscape {stage}"), 60, f"stage {stage}")
    return process


def no_process_left(project: Path, seconds: float) -> None:
    wait_until(lambda: not processes_of(project), seconds, f"end of {processes_of(project)}")


def test_only_dvc_killed_and_the_stage_run_again_at_once(project: Path) -> None:
    process = start(project, "validate")
    dvc = find(project, f"{sys.executable} -m dvc repro")
    assert dvc is not None
    os.kill(dvc, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stage 'validate' failed (exit code 137)" in errors
    assert not processes_of(project)
    again = reproduce(project, "validate")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (project / "artifacts/validation/result.json").exists()
    status = subprocess.run(
        ["dvc", "status", "manifest", "validate"], cwd=project,
        env=environment(project.parent / "home"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "up to date" in status.stdout


def test_the_flow_killed_outright_leaves_nothing_behind(project: Path) -> None:
    process = start(project, "validate")
    dvc = find(project, f"{sys.executable} -m dvc repro")
    process.kill()
    process.communicate(timeout=10)
    no_process_left(project, 5)
    # To DVC a process that is dead, but still listed, holds its lock.
    wait_until(lambda: not Path(f"/proc/{dvc}").exists(), 30, "the system to forget DVC's process")
    assert reproduce(project, "validate").returncode == 0


def test_an_interrupted_flow_ends_its_stage(project: Path) -> None:
    process = start(project, "validate")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert not processes_of(project)


def test_a_second_flow_waits_for_the_first(project: Path) -> None:
    first = start(project, "validate")
    second = reproduce(project, "manifest")
    assert second.returncode == 0, second.stderr
    assert "another flow runs DVC in this checkout" in second.stdout
    first.communicate(timeout=30)
    assert first.returncode == 0


def test_a_stage_that_takes_too_long_is_stopped(project: Path) -> None:
    params = project / "params.yaml"
    text = params.read_text()
    limit = "stage_timeout_minutes: 720"
    assert limit in text
    params.write_text(text.replace(limit, "stage_timeout_minutes: 0.03"))
    started = time.monotonic()
    done = reproduce(project, "validate")
    assert done.returncode == 1
    assert "was stopped after 0.03 minutes (train.stage_timeout_minutes)" in done.stderr
    assert time.monotonic() - started < 30
    assert not processes_of(project)


def test_a_failed_stage_says_why_in_one_line(project: Path) -> None:
    victim = project / "data/bolt/train/good/003.png"
    victim.write_bytes(victim.read_bytes()[:200])
    assert reproduce(project, "manifest").returncode == 0
    done = reproduce(project, "validate")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: stage 'validate' failed")
    assert "bolt/train/good/003.png" in line
