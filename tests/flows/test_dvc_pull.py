"""The two ways in which real users bring data: `dvc pull` from a remote, and their own folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from normscape.data.pin import check_pin
from normscape.errors import DataError

CHECKOUT = Path(__file__).parents[2]
FILES = 12

pytestmark = pytest.mark.slow


def run(folder: Path, *command: str) -> None:
    """Run a command in a folder; its output is the message if it fails."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"


def dvc(folder: Path, *arguments: str) -> None:
    run(folder, sys.executable, "-m", "dvc", *arguments)


def git(folder: Path, *arguments: str) -> None:
    run(folder, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", *arguments)


def own_images(data: Path, shade: int) -> None:
    for category in ("cap", "label"):
        folder = data / category / "train" / "good"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(FILES // 2):
            Image.new("L", (40, 40), shade + number).save(folder / f"{category}-{number}.png")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")
    }


@pytest.fixture
def project(tmp_path) -> Path:
    """A repository with this project's DVC settings and no data yet."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore"):
        shutil.copyfile(CHECKOUT / name, folder / name)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "settings")
    return folder


def test_own_folder_is_pinned_pushed_and_pulled_by_another_clone(project, tmp_path):
    own_images(project / "data", shade=100)
    dvc(project, "add", "-q", "data")
    assert check_pin(project / "data", project / "data.dvc").files == FILES
    staged = subprocess.run(
        ["git", "diff", "--cached", "--name-only"], cwd=project, capture_output=True, text=True,
        check=True,
    ).stdout.split()  # fmt: skip
    assert staged == ["data.dvc"], "autostage puts the pin and nothing else into the commit"

    dvc(project, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    git(project, "commit", "-qam", "data and where they are kept")
    dvc(project, "push", "-q")

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    dvc(clone, "pull", "-q")
    assert check_pin(clone / "data", clone / "data.dvc", "HEAD").files == FILES
    assert content(clone / "data") == content(project / "data")

    own_images(clone / "data", shade=120)
    with pytest.raises(DataError, match="dvc add data"):
        check_pin(clone / "data", clone / "data.dvc", "HEAD")


def test_identical_files_are_taken_into_the_cache_without_changing_the_pin(project, tmp_path):
    """What `make data` does on a fresh clone without a remote."""
    own_images(project / "data", shade=100)
    dvc(project, "add", "-q", "data")
    git(project, "commit", "-qm", "pinned")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    own_images(clone / "data", shade=100)
    before = (clone / "data.dvc").read_bytes()

    dvc(clone, "commit", "--quiet", "--force", "data.dvc")

    assert (clone / "data.dvc").read_bytes() == before
    shutil.rmtree(clone / "data")
    dvc(clone, "checkout", "-q", "data.dvc")
    assert check_pin(clone / "data", clone / "data.dvc").files == FILES
    git(clone, "diff", "--exit-code", "HEAD")
