"""Which code made a model: the commit, and whether the checkout differed from it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_IGNORED = "dvc.lock"  # what `dvc repro` itself writes
_GIT_SECONDS = 60


@dataclass(frozen=True)
class CodeState:
    """The state of the checkout.

    Attributes:
        commit: The commit's full hash; None where there is no Git repository or no commit.
        dirty: Whether tracked files (other than `dvc.lock`) differ from the commit; a checkout
            that Git knows nothing of counts as dirty.
        changed: The files that differ, relative to the repository's root.
    """

    commit: str | None
    dirty: bool
    changed: tuple[str, ...] = ()

    def describe(self) -> str:
        """One phrase for messages and the model card."""
        if self.commit is None:
            return "not under version control"
        if not self.dirty:
            return self.commit
        shown = ", ".join(self.changed[:5]) + (" …" if len(self.changed) > 5 else "")
        return f"{self.commit} with uncommitted changes in {shown}"


def read_code_state(root: Path) -> CodeState:
    """Ask Git about the checkout that holds `root`; never raises."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    status = _git(root, "status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames")
    prefix = _git(root, "rev-parse", "--show-prefix")
    if commit is None or status is None or prefix is None:
        return CodeState(commit=None, dirty=True)
    ignored = prefix.strip("\n") + _IGNORED
    changed = sorted({entry[3:] for entry in status.split("\0") if entry} - {ignored})
    return CodeState(commit.strip(), bool(changed), tuple(changed))


def _git(root: Path, *arguments: str) -> str | None:
    # A Git hook exports GIT_DIR and its like, which would name another repository than root's.
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            timeout=_GIT_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")
