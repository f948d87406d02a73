"""A feed folder `day/[category/]image` that is watched: which of its images are new."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from normscape.errors import UsageError
from normscape.scoring import log
from normscape.scoring.parts import PartStore
from normscape.scoring.retire import pruned_days
from normscape.scoring.source import FileSource, list_day


class State(NamedTuple):
    """What tells one content of a file from another without reading it."""

    size: int
    modified: int
    inode: int


@dataclass(frozen=True)
class Logged:
    """What the log holds of one day, of any model version.

    Attributes:
        scored: When each path was last scored, in seconds since 1970.
        hashes: The SHA-256 of all images.
    """

    scored: dict[str, float]
    hashes: frozenset[str]


def is_day(name: str) -> bool:
    """Whether it is the name of a day's folder."""
    try:
        return datetime.date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


class Feed:
    """The images of a feed that no model has scored, each offered until it is settled.

    An image is offered when two looks in a row found the same file, so that one that is being
    written is not scored as damaged. A file that is replaced is offered again.

    Args:
        folder: The folder that holds folders named YYYY-MM-DD; others are left alone.
        root: The folder of `params.yaml`.
        store: The score log.

    Raises:
        UsageError: There is no such folder.
    """

    def __init__(self, folder: Path, root: Path, store: PartStore) -> None:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; expected a feed of day/[category/]image")
        self.folder = folder
        self._root = root
        self._store = store
        self._settled: dict[str, State] = {}
        self._before: dict[str, State] = {}
        self._logged: dict[str, Logged] = {}
        self._pruned = pruned_days(store)

    def look(self) -> tuple[dict[str, list[FileSource]], list[str]]:
        """The images that may be scored now, by day; and why single days cannot be listed."""
        offered: dict[str, list[FileSource]] = {}
        found: dict[str, State] = {}
        problems = []
        for folder in self._days():
            try:
                sources = list_day(folder, self._root)
            except (OSError, UsageError) as error:
                problems.append(str(error))
                continue
            for source in sources:
                state = _state(source.path)
                if state is None or self._settled.get(source.name) == state:
                    continue
                found[source.name] = state
                if self._before.get(source.name) != state:
                    continue
                if source.name not in self._settled and self._was_scored(folder, source, state):
                    self._settled[source.name] = state
                    continue
                offered.setdefault(folder.name, []).append(source)
        self._before = found
        return offered, problems

    def settle(self, sources: list[FileSource]) -> None:
        """These were dealt with, as the last look found them."""
        for source in sources:
            self._settled[source.name] = self._before[source.name]

    def knows(self, day: str, sha256: str) -> bool:
        """Whether any version had logged the image for that day when the log was last read."""
        return sha256 in self._of(day).hashes

    def forget(self) -> None:
        """Read the log again when it is next asked for: another version writes it from now on."""
        self._logged.clear()

    def _days(self) -> list[Path]:
        found = sorted(entry for entry in self.folder.iterdir() if is_day(entry.name))
        return [entry for entry in found if entry.is_dir() and entry.name not in self._pruned]

    def _was_scored(self, folder: Path, source: FileSource, state: State) -> bool:
        scored = self._of(folder.name).scored.get(source.name)
        return scored is not None and state.modified / 1e9 <= scored

    def _of(self, day: str) -> Logged:
        if day not in self._logged:
            rows = log.read(self._store, days=day, columns=["path", "sha256", "scored_at"])
            last = rows.groupby("path")["scored_at"].max()
            scored = {str(path): moment.timestamp() for path, moment in last.items()}
            self._logged[day] = Logged(scored, frozenset(rows["sha256"].dropna()))
        return self._logged[day]


def _state(path: Path) -> State | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None if not path.is_symlink() else State(0, 0, 0)
    except OSError:
        return State(0, 0, 0)  # scoring it says what is wrong
    return State(found.st_size, found.st_mtime_ns, found.st_ino)
