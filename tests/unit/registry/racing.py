"""Processes that start together, and processes that die at a chosen point."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from normscape.errors import NormscapeError

REPETITIONS = int(os.environ.get("NORMSCAPE_RACES", "5"))
"""How often a race is run; `make soak` sets 100."""

fork = multiprocessing.get_context("fork")

_FILE_EVENTS = frozenset({
    "open", "os.rename", "os.chmod", "os.mkdir", "os.remove", "os.rmdir", "os.truncate",
    "fcntl.flock", "shutil.copyfile", "os.utime",
})  # fmt: skip


def race(work: Callable[[int], Any], racers: int) -> list[Any]:
    """Run `work(i)` in processes that start together; their results or exception names."""
    barrier, results = fork.Barrier(racers), fork.Queue()

    def run(index: int) -> None:
        barrier.wait()
        try:
            results.put((index, work(index)))
        except NormscapeError as error:
            results.put((index, type(error).__name__))

    processes = [fork.Process(target=run, args=(index,)) for index in range(racers)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    return [found[index] for index in range(racers)]


def steps_of(work: Callable[[], Any], place: str) -> int:
    """How many steps, on files below `place` or to a server, a process takes for some work."""
    counted = fork.Value("i", 0)
    _run(work, place, counted, die_at=None)
    return int(counted.value)


def killed_at(step: int, work: Callable[[], Any], place: str) -> bool:
    """Run work in a process that kills itself with SIGKILL before a step; whether it got there."""
    return _run(work, place, fork.Value("i", 0), die_at=step) == -signal.SIGKILL


def _run(work: Callable[[], Any], place: str, counted: Any, die_at: int | None) -> int:
    def child() -> None:
        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            ours = event in _FILE_EVENTS and place in str(arguments[:2])
            if ours or event == "http.client.send":
                counted.value += 1
                if counted.value == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        work()

    process = fork.Process(target=child)
    process.start()
    process.join(timeout=120)
    assert process.exitcode is not None
    return process.exitcode
