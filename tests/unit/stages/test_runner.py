import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from normscape.errors import UsageError
from normscape.params import Params
from normscape.stages.runner import STAGES, run_stage

ROOT = Path(__file__).parents[3]

CHILD = """
import time
from normscape.stages import runner
runner._end_when_orphaned()
print("watching", flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline().strip(), child.pid, flush=True)
time.sleep(60)
"""


def test_the_stages_are_those_of_dvc_yaml_in_order() -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert tuple(pipeline) == STAGES
    assert all(stage["cmd"] == f"normscape {name}" for name, stage in pipeline.items())


def test_every_stage_depends_on_its_own_code_and_on_files_that_exist() -> None:
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        assert f"src/normscape/stages/{name}.py" in stage["deps"]
        code = [dep for dep in stage["deps"] if dep.startswith("src/")]
        assert all((ROOT / dep).exists() for dep in code), name


def test_an_unknown_stage_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="manifest, validate"):
        run_stage("train", Params(root=tmp_path))


def test_a_stage_ends_when_the_dvc_that_started_it_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    word, child = parent.stdout.readline().split()
    assert word == "watching"
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while _alive(int(child)) and time.monotonic() < deadline:
        time.sleep(0.1)
    gone = not _alive(int(child))
    if not gone:
        os.kill(int(child), signal.SIGKILL)
    assert gone


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
