"""The state of the checkout, read from real Git repositories."""

import subprocess
from pathlib import Path

import pytest

from normscape.registry.code import read_code_state


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name in ("dvc.lock", "params.yaml", "with space.py"):
        (tmp_path / name).write_text("before\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def test_a_clean_checkout(checkout: Path) -> None:
    state = read_code_state(checkout)
    assert state.commit == git(checkout, "rev-parse", "HEAD")
    assert not state.dirty
    assert state.describe() == state.commit


def test_dvc_lock_and_untracked_files_do_not_count(checkout: Path) -> None:
    (checkout / "dvc.lock").write_text("after\n")
    (checkout / "new.txt").write_text("new\n")
    assert not read_code_state(checkout).dirty


def test_tracked_changes_count_and_are_named(checkout: Path) -> None:
    (checkout / "params.yaml").write_text("after\n")
    (checkout / "with space.py").unlink()
    state = read_code_state(checkout)
    assert state.dirty
    assert state.changed == ("params.yaml", "with space.py")
    assert "params.yaml" in state.describe()


def test_staged_changes_count(checkout: Path) -> None:
    (checkout / "params.yaml").write_text("after\n")
    git(checkout, "add", "params.yaml")
    assert read_code_state(checkout).changed == ("params.yaml",)


def test_a_project_in_a_folder_of_a_repository(checkout: Path) -> None:
    project = checkout / "project"
    project.mkdir()
    (project / "dvc.lock").write_text("before\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "project")
    (project / "dvc.lock").write_text("after\n")
    assert not read_code_state(project).dirty
    (checkout / "dvc.lock").write_text("after\n")
    assert read_code_state(project).changed == ("dvc.lock",)


def test_what_git_knows_nothing_of_is_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = read_code_state(tmp_path)
    assert (state.commit, state.dirty) == (None, True)
    assert state.describe() == "not under version control"
    git(tmp_path, "init", "-q")
    assert read_code_state(tmp_path).commit is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_code_state(tmp_path).dirty


def test_a_hooks_environment_does_not_mislead(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert not read_code_state(checkout).dirty
