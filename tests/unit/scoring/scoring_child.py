"""What the tests run in processes of their own; they import it by name."""

import ctypes
import errno
import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from normscape.errors import NormscapeError
from normscape.params import Params, load_params
from normscape.scoring import day, inbox, load, local_parts, log, run, scorer
from normscape.scoring.listing import list_images

DAY = "2026-03-14"
REFUSED = 3

POINTS: dict[str, tuple[Any, str, str]] = {
    "an image is decoded": (load, "_load_one", "after"),
    "a batch is scored": (scorer.Scorer, "score_batch", "after"),
    "a picture is written, not in place": (Path, "replace", "before"),
    "an overlay is in place": (day, "write_overlay", "after"),
    "a map is in place": (day, "write_map", "after"),
    "an image is copied to the inbox, without its record": (inbox, "copy_verified", "after"),
    "an image is in the inbox": (inbox.Inbox, "keep", "after"),
    "a number of the log is about to be taken": (local_parts.LocalParts, "claim", "before"),
    "a part is written, not in place": (local_parts.os, "fsync", "after"),
    "a part is in place": (local_parts.LocalParts, "claim", "after"),
    "rows are committed": (log.LogWriter, "append", "after"),
    "the inbox is pruned": (inbox.Inbox, "prune", "after"),
}
"""Where a scorer is killed: a function, and whether before or after a call of it."""


def _prepared(root: str) -> Params:
    torch.set_num_threads(1)
    day._COMMIT_SECONDS = 0.0  # after every batch
    return load_params(Path(root) / "params.yaml")


def score(
    root: str, folder: str, log_place: str | None = None, environment: dict[str, str] | None = None
) -> None:
    """Score a day, committing after every batch."""
    os.environ.update(environment or {})
    params = _prepared(root)
    if log_place is not None:
        params = params.model_copy(
            update={"score": params.score.model_copy(update={"log": log_place})}
        )
    run.score_place(folder, params, progress=False)


def killed(root: str, folders: list[str], point: str, calls: list[int]) -> None:
    """Score each day in a process that dies at a call of `point`; exits with how many died."""
    params = _prepared(root)
    version, bundle = run.open_version(params, "production")
    opened = scorer.Scorer.open(bundle, root=params.root, cache=params.state / "cache")
    died = 0
    for folder, call in zip(folders, calls, strict=True):
        if (process := os.fork()) == 0:
            owner, name, when = POINTS[point]
            setattr(owner, name, _deadly(getattr(owner, name), when, call))
            days = list_images(folder, params.root)
            run.score_days(days, opened, version, params, maps="both", progress=False)
            os._exit(0)
        died += os.WIFSIGNALED(os.waitpid(process, 0)[1])
    sys.exit(died)


def _deadly(original: Callable[..., Any], when: str, call: int) -> Callable[..., Any]:
    numbers = itertools.count(1)

    def function(*arguments: Any, **options: Any) -> Any:
        number = next(numbers)
        if number == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if number == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return function


def hindered(root: str, folder: str, how: str) -> None:
    """Score a day where nothing can be written; exits with `REFUSED` if it says so."""
    _prepared(root)
    if how == "files of 4 KiB":
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    elif how == "no space for the log":
        local_parts.os.fsync = _no_space
    else:
        _obey_permissions()
    try:
        score(root, folder)
    except NormscapeError as error:
        sys.exit(REFUSED if "cannot write" in str(error) else str(error))


def _no_space(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _obey_permissions() -> None:
    """Give up what lets root write where nobody may."""
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None).capset(header, nothing):
        raise OSError("capset")


def peak(root: str, folder: str, answer: str) -> None:
    """Score a day and write how many KiB this process had at most."""
    _prepared(root)
    score(root, folder)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    Path(answer).write_text(next(x for x in lines if x.startswith("VmHWM:")).split()[1])
