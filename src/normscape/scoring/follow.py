"""Scoring a feed as it comes, with whatever version an alias names."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from normscape.errors import BusyError
from normscape.files import exclusive_lock
from normscape.params import Params
from normscape.scoring.day import DayRun
from normscape.scoring.feed import Feed
from normscape.scoring.handover import Handover, finish, hand_over, read_handover
from normscape.scoring.log import LogWriter
from normscape.scoring.paths import score_log
from normscape.scoring.serving import Follower, Served
from normscape.scoring.source import FileSource
from normscape.scoring.summary import ScoreSummary
from normscape.sections.production import Maps
from normscape.storage.client import StoreError

_NAP_SECONDS = 0.1  # a signal is noticed after so long
_DAYS = 3  # whose hashes are kept in memory
Say = Callable[[str], None]


@contextmanager
def until_asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Yield what says whether SIGTERM or SIGINT has come; they do nothing else meanwhile."""
    asked: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: asked.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(
    folder: Path,
    params: Params,
    *,
    say: Say,
    warn: Say,
    stop: Callable[[], bool],
    alias: str = "production",
    runtime: str | None = None,
    precision: str | None = None,
    maps: Maps | None = None,
) -> None:
    """Score what is new in a feed until asked to stop, always with the version of the alias.

    When the alias moves, the version in use goes on until the new one is loaded and has scored a
    picture; the new one takes over between two batches. One that cannot be used here changes
    nothing. It then scores the newest images of the version before it once more, whenever no new
    ones wait.

    Args:
        folder: The feed, `day/[category/]image`.
        params: The project.
        say: Told what was done.
        warn: Told what a person should know.
        stop: Asked between two batches.
        alias: An alias of the registry.
        runtime: Insist on this runtime; each bundle's own when None.
        precision: Insist on this precision; each bundle's own when None.
        maps: Which maps to write; `score.maps` when None.

    Raises:
        UsageError: There is no such folder, or nothing in production.
        BusyError: Another process follows an alias with this state folder.
        NormscapeError: The first version cannot be used, or nothing can be written.
    """
    store = score_log(params)
    lock = exclusive_lock(params.state / "locks" / "follow.lock", "normscape score --follow")
    with (
        lock,
        Follower(params, alias, warn, runtime=runtime, precision=precision) as follower,
    ):
        feed, last = Feed(folder, params.root, store), read_handover(params)
        served = follower.first(last.version if last else None)
        following = _Following(
            params, feed, served, maps or params.score.maps, stop=stop, warn=warn
        )
        say(f"{served.version} serves, {folder} is watched")
        while not stop():
            until = time.monotonic() + params.score.poll_seconds
            other = follower.next(following.served.version)
            if other is not None:
                following.take(other)
                say(f"{other.version} serves; {following.explain()}")
            for summary in following.look():
                if summary.found:
                    say(summary.explain())
            for summary in following.catch_up(until):
                if summary.found:
                    say(f"once more: {summary.explain()}")
            while not stop() and time.monotonic() < until:
                time.sleep(_NAP_SECONDS)
    say("stopped")


class _Following:
    """A version that serves a feed, and what it has still to score."""

    def __init__(
        self,
        params: Params,
        feed: Feed,
        served: Served,
        maps: Maps,
        *,
        stop: Callable[[], bool],
        warn: Say,
    ) -> None:
        self._params = params
        self._feed = feed
        self._store = score_log(params)
        self._maps = maps
        self._stop = stop
        self._warn = warn
        self._told: set[str] = set()
        self.take(served)

    def take(self, served: Served) -> None:
        """Let a version serve from now on."""
        self.served = served
        self._writers: dict[str, LogWriter] = {}
        self._feed.forget()
        self._handover: Handover = hand_over(
            self._params, self._feed.folder, self._store, served.version
        )
        unfinished = self._handover.finished is None
        self._window = self._handover.sources(self._params.root) if unfinished else {}

    def explain(self) -> str:
        """What is to be scored once more."""
        return f"{sum(map(len, self._window.values()))} images are scored once more"

    def look(self) -> Iterator[ScoreSummary]:
        """Score what is new, until the alias could have moved."""
        until = time.monotonic() + self._params.score.poll_seconds
        offered, problems = self._feed.look()
        for problem in problems:
            self._warn_once(problem)
        for day, sources in offered.items():
            if self._is_over(until):
                return
            summary, done = self._score(day, sources, until, any_version=True)
            self._feed.settle(sources[:done])
            yield summary

    def catch_up(self, until: float) -> Iterator[ScoreSummary]:
        """Score a part of the window, a batch at least."""
        while self._window and not self._stop():
            day, sources = next(iter(self._window.items()))
            summary, done = self._score(day, sources, until, any_version=False)
            self._window[day] = sources[done:]
            if not self._window[day]:
                del self._window[day]
            yield summary
            if self._is_over(until):
                break
        if not self._window and self._handover.finished is None:
            self._handover = finish(self._params, self._handover)

    def _score(
        self, day: str, sources: list[FileSource], until: float, *, any_version: bool
    ) -> tuple[ScoreSummary, int]:
        """What was done, and with how many of the images."""
        version, done = self.served.version, 0
        try:
            writer = self._writer(day)
            run = DayRun(self._params, self.served.scorer, day, version, self._maps, writer=writer)

            def skip(sha256: str) -> bool:
                known = any_version and self._feed.knows(day, sha256)
                return known or writer.knows(sha256)

            for done in run.score(sources, skip=skip, stop=lambda: self._is_over(until)):  # noqa: B007
                pass
        except (BusyError, StoreError) as error:
            self._writers.clear()
            self._warn_once(f"{error}; it is tried again")
            return ScoreSummary(day, version), 0
        run.summary.found = done
        for warning in run.summary.warnings(self._params.review.max_images):
            self._warn(warning)
        return run.summary, done

    def _writer(self, day: str) -> LogWriter:
        if day not in self._writers:
            while len(self._writers) >= _DAYS:
                del self._writers[next(iter(self._writers))]
            self._writers[day] = LogWriter(self._store, day, self.served.version)
        return self._writers[day]

    def _is_over(self, until: float) -> bool:
        return self._stop() or time.monotonic() >= until

    def _warn_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._warn(text)
