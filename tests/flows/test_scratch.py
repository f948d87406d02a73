import shutil
from pathlib import Path

import pytest

from flows.scratch import make_scratch, run
from normscape.errors import NormscapeError

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout under Git and DVC with data, a feed and one committed file."""
    root = tmp_path / "checkout"
    (root / "data").mkdir(parents=True)
    (root / "data" / "a.txt").write_text("image")
    (root / "feed").mkdir()
    (root / "feed" / "b.txt").write_text("image of a day")
    (root / "code.py").write_text("1")
    (root / ".gitignore").write_text("/feed\n/.normscape\n")
    for command in (
        ("git", "init", "--quiet"),
        ("git", "config", "user.name", "test"),
        ("git", "config", "user.email", "test@localhost"),
        ("dvc", "init", "--quiet"),
        ("dvc", "add", "--quiet", "data"),
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "-m", "start"),
    ):
        run(root, *command)
    return root


def test_the_clone_has_the_data_and_the_checkout_stays_as_it_was(checkout: Path) -> None:
    scratch = checkout / ".normscape" / "tour"
    assert not make_scratch(checkout, scratch)
    assert (scratch / "data" / "a.txt").read_text() == "image"
    assert (scratch / "feed" / "b.txt").is_file()
    assert run(scratch, "git", "status", "--porcelain") == ""
    assert run(checkout, "git", "status", "--porcelain") == ""


def test_uncommitted_changes_come_along_and_an_old_clone_is_replaced(checkout: Path) -> None:
    scratch = checkout / ".normscape" / "tour"
    make_scratch(checkout, scratch)
    (scratch / "old").mkdir()
    (scratch / "old").chmod(0o555)
    (checkout / "code.py").unlink()
    (checkout / "new.py").write_text("2")
    assert make_scratch(checkout, scratch)
    assert not (scratch / "code.py").exists()
    assert not (scratch / "old").exists()
    assert (scratch / "new.py").read_text() == "2"
    assert run(scratch, "git", "status", "--porcelain") == ""


def test_data_that_are_nowhere_stop_it_in_one_line(checkout: Path) -> None:
    shutil.rmtree(checkout / ".dvc" / "cache")
    with pytest.raises(NormscapeError, match="'dvc checkout --quiet' failed"):
        make_scratch(checkout, checkout / ".normscape" / "tour")
