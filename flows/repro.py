"""One `dvc repro` at a time, as a process group that is gone when this function returns."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from normscape.errors import BusyError, NormscapeError, UsageError
from normscape.files import exclusive_lock
from normscape.params import Params
from normscape.stages.runner import STAGES

_TETHER = Path(__file__).with_name("tether.py")
_TAIL_LINES = 15
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0

Say = Callable[[str], None]


def reproduce(stage: str, params: Params, *, say: Say, force: bool = False) -> None:
    """Run `dvc repro --single-item STAGE` and hand on its output line by line.

    The command runs in a process group of its own. However this function ends (success, failure,
    time-out, cancellation, an exception of the caller), the group is ended with it; should this
    process be killed outright, the group's own watcher ends it.

    Args:
        stage: A stage of `dvc.yaml`.
        params: The project; section `train` has the time limit.
        say: Receives each line of output.
        force: Run the stage even if nothing has changed and whatever the run cache holds.

    Raises:
        UsageError: There is no such stage.
        BusyError: Another flow's `dvc repro` did not end within the time limit.
        NormscapeError: The stage failed or took too long; the message ends with its last lines.
    """
    if stage not in STAGES:
        raise UsageError(f"unknown stage '{stage}'; expected one of {', '.join(STAGES)}")
    limit = 60.0 * params.train.stage_timeout_minutes
    arguments = ["repro", "--single-item", *(["--force", "--no-run-cache"] if force else []), stage]
    with _turn(params, limit, say), _group(arguments, params.root) as process:
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        for line in _lines(process, time.monotonic() + limit):
            if line is None:
                raise NormscapeError(
                    f"stage '{stage}' was stopped after {params.train.stage_timeout_minutes:g} "
                    "minutes (train.stage_timeout_minutes); raise the limit or look at its output: "
                    + _ending(tail)
                )
            tail.append(line)
            say(line)
        code = process.wait()
    if code:
        raise NormscapeError(f"stage '{stage}' failed (exit code {code}): {_ending(tail)}")


def check_revision(root: Path, revision: str) -> None:
    """Make sure that the checkout is at a revision: another machine's may be at another.

    Raises:
        UsageError: Git knows no such revision here, or the checkout is at another one.
    """
    wanted, found = (_commit(root, name) for name in (revision, "HEAD"))
    if wanted is None:
        raise UsageError(f"Git knows no revision '{revision}' in {root}; fetch it, then run again")
    if wanted != found:
        raise UsageError(
            f"the checkout {root} is at {found or 'no commit'}, expected {wanted}; "
            f"run 'git checkout {revision}' there, then run this again"
        )


def _commit(root: Path, revision: str) -> str | None:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or None


@contextmanager
def _turn(params: Params, limit: float, say: Say) -> Iterator[None]:
    """Hold the lock that lets one flow at a time run DVC in this checkout."""
    path = params.state / "locks" / "dvc.lock"
    with ExitStack() as held:
        try:
            held.enter_context(exclusive_lock(path, "a DVC stage"))
        except BusyError:
            say("another flow runs DVC in this checkout; waiting for it to end")
            held.enter_context(exclusive_lock(path, "a DVC stage", wait_seconds=limit))
        yield


@contextmanager
def _group(arguments: list[str], root: Path) -> Iterator[subprocess.Popen[str]]:
    """Start DVC in its own process group; the group is gone when the block ends."""
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": binaries + os.pathsep + os.environ.get("PATH", ""),
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, str(_TETHER), sys.executable, "-m", "dvc", *arguments],
        cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Ask the group to end, then make it; also when its leader has ended before the others."""
    deadline = time.monotonic() + _GRACE_SECONDS
    sign = int(signal.SIGTERM)
    while _signal(process.pid, sign):
        process.poll()
        sign = 0 if time.monotonic() < deadline else int(signal.SIGKILL)
        time.sleep(0.05)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _signal(group: int, sign: int) -> bool:
    """Whether anybody was there to get the signal; 0 only asks."""
    try:
        os.killpg(group, sign)
    except ProcessLookupError:
        return False
    return True


def _lines(process: subprocess.Popen[str], deadline: float) -> Iterator[str | None]:
    """The output until its end; None, once, when the deadline has passed before."""
    output: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        with suppress(ValueError):  # closed while reading
            for line in process.stdout or ():
                output.put(line.rstrip())
        output.put(None)

    threading.Thread(target=read, name="dvc-output", daemon=True).start()
    while True:
        # A signal is handled between two polls, so a cancellation is never kept waiting.
        try:
            line = output.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if process.poll() is not None:  # a survivor of the group may keep the pipe open
                return
        else:
            if line is None:
                return
            if line:
                yield line
        if time.monotonic() > deadline:
            yield None
            return


def _ending(tail: deque[str]) -> str:
    """What explains a failure: the stage's own error line, else the last lines."""
    for line in reversed(tail):
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    return "\n".join(tail) or "it printed nothing"
