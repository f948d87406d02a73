"""A scratch clone of the checkout, so that a tour leaves the checkout as it was."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from normscape.errors import NormscapeError

_AUTHOR = ("-c", "user.name=tour", "-c", "user.email=tour@localhost", "-c", "commit.gpgsign=false")


def make_scratch(checkout: Path, scratch: Path) -> bool:
    """Clone `checkout` into `scratch` with its uncommitted changes, and check out its data.

    The clone shares the checkout's DVC cache, so whatever it computes the checkout need not
    compute again.

    Returns:
        Whether the checkout had uncommitted changes (they are committed in the clone).

    Raises:
        NormscapeError: git or dvc failed.
    """
    if scratch.exists():
        run(checkout, "chmod", "-R", "u+w", str(scratch))  # registered versions are read-only
        shutil.rmtree(scratch)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    run(checkout, "git", "clone", "--quiet", "--shared", str(checkout), str(scratch))
    changed = _copy_working_tree(checkout, scratch)
    cache = run(checkout, "dvc", "cache", "dir").strip()
    run(scratch, "dvc", "cache", "dir", "--local", str((checkout / cache).resolve()))
    run(scratch, "dvc", "checkout", "--quiet", "data.dvc")
    shutil.copytree(checkout / "feed", scratch / "feed")
    return changed


def _copy_working_tree(checkout: Path, scratch: Path) -> bool:
    listing = run(checkout, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listing.split("\0")):
        source, target = checkout / name, scratch / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        else:
            target.unlink(missing_ok=True)
    if not run(scratch, "git", "status", "--porcelain"):
        return False
    run(scratch, "git", "add", "--all")
    run(scratch, "git", *_AUTHOR, "commit", "--quiet", "-m", "Uncommitted changes of the checkout")
    return True


def run(folder: Path, *command: str) -> str:
    """Run a command in `folder` and return what it printed.

    Raises:
        NormscapeError: It exited with another code than 0; holds its last lines.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise NormscapeError(
            f"'{' '.join(command[:3])}' failed in {folder} with exit code {done.returncode}: "
            + " / ".join(lines)
        )
    return done.stdout
