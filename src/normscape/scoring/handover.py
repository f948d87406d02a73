"""The retained window: what a version that comes into production scores once more.

`<state>/follow.json` says which version serves and whether its window is scored; until then the
monitor does not judge it.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from normscape.errors import NormscapeError, UsageError
from normscape.files import read_json, write_json
from normscape.params import Params
from normscape.scoring import log
from normscape.scoring.parts import PartStore
from normscape.scoring.source import FileSource, logged_name


@dataclass(frozen=True)
class Handover:
    """A version that serves, and what it scores once more.

    Attributes:
        version: The version.
        since: When it came, UTC, ISO 8601.
        before: The version before; None for the first.
        window: Day, path as logged, and declared category of the images.
        finished: When the window was scored, UTC, ISO 8601; None until then.
    """

    version: str
    since: str
    before: str | None = None
    window: tuple[tuple[str, str, str | None], ...] = ()
    finished: str | None = None

    def sources(self, root: Path) -> dict[str, list[FileSource]]:
        """The images of the window that are still there, by day."""
        found: dict[str, list[FileSource]] = {}
        for day, name, declared in self.window:
            if (root / name).is_file():
                found.setdefault(day, []).append(FileSource(name, declared, root / name))
        return found


def record_path(params: Params) -> Path:
    """Where the last handover is noted."""
    return params.state / "follow.json"


def read_handover(params: Params) -> Handover | None:
    """The last handover; None where nothing has followed an alias yet.

    Raises:
        NormscapeError: Its record is damaged.
    """
    path = record_path(params)
    if not path.exists():
        return None
    try:
        content = read_json(path)
        window = tuple((day, name, declared) for day, name, declared in content.pop("window"))
        return Handover(**content, window=window)
    except (UsageError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise NormscapeError(
            f"{path} does not say which version serves ({error}); remove it and start "
            "`normscape score --follow` again"
        ) from None


def hand_over(params: Params, feed: Path, store: PartStore, version: str) -> Handover:
    """Note that a version serves from now on, with its window.

    One whose window is unfinished goes on with it; one that served when the scorer stopped has
    nothing to score.
    """
    last = read_handover(params)
    if last is not None and last.version == version:
        return last
    window = () if last is None else _window(params, feed, store, last.version)
    found = Handover(version, _now(), last.version if last else None, window)
    return _noted(params, found if window else replace(found, finished=_now()))


def finish(params: Params, handover: Handover) -> Handover:
    """Note that the window is scored."""
    return _noted(params, replace(handover, finished=_now()))


def require_window(params: Params, version: str) -> None:
    """See that a version may be judged.

    Raises:
        NormscapeError: It serves, and its window is not scored yet.
    """
    last = read_handover(params)
    if last is not None and last.version == version and last.finished is None:
        raise NormscapeError(
            f"{version} is not judged yet: since {last.since} it scores the {len(last.window)} "
            "newest images of the version before it. Wait until `normscape score --follow` has "
            f"done so and start it if it does not run, or remove {record_path(params)}"
        )


def _window(
    params: Params, feed: Path, store: PartStore, version: str
) -> tuple[tuple[str, str, str | None], ...]:
    """The newest images of the feed that a version scored, the newest first."""
    limit, below = params.score.window_images, f"{logged_name(feed, params.root)}/"
    columns = ["path", "declared_category", "error", "scored_at"]
    found: list[tuple[str, str, str | None]] = []
    for day in reversed(log.days(store, model_version=version)):
        if len(found) >= limit:
            break
        rows = log.read(store, days=day, model_version=version, columns=columns)
        rows = rows[rows["error"].isna() & rows["path"].str.startswith(below)]
        for row in rows.sort_values("scored_at", ascending=False).itertuples():
            declared = row.declared_category
            found.append((day, str(row.path), declared if isinstance(declared, str) else None))
    return tuple(found[:limit])


def _noted(params: Params, handover: Handover) -> Handover:
    write_json(record_path(params), asdict(handover))
    return handover


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
