"""A stage sent to another machine must run the same commit there."""

import subprocess
from pathlib import Path

import pytest

from flows.repro import check_revision
from normscape.errors import UsageError

GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for text in ("one", "two"):
        (tmp_path / "file").write_text(text)
        subprocess.run(["git", "add", "file"], cwd=tmp_path, check=True)
        subprocess.run([*GIT, "commit", "--quiet", "-m", text], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_that_is_checked_out(checkout: Path) -> None:
    check_revision(checkout, "HEAD")


def test_another_commit_is_refused(checkout: Path) -> None:
    with pytest.raises(UsageError, match="git checkout HEAD~1"):
        check_revision(checkout, "HEAD~1")


def test_a_commit_that_was_never_fetched(checkout: Path) -> None:
    with pytest.raises(UsageError, match="Git knows no revision"):
        check_revision(checkout, "0" * 40)
