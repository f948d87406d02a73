"""Which run was the newest, for those who look from outside: the metrics."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normscape.errors import NormscapeError, UsageError
from normscape.files import read_json, write_json
from normscape.params import Params

if TYPE_CHECKING:
    from monitoring.monitor_run import MonitorRun

VERDICTS_FILE = "verdicts.json"
_LAST_RUN_FILE = "last_run.json"


@dataclass(frozen=True)
class LastRun:
    """The newest run by the wall clock, whatever day it judged.

    Attributes:
        judged_at: UTC, seconds since 1970.
        day: The last day of its window.
        last_images: The newest day with an image, by category, over all runs.
        verdicts: Its `verdicts.json`.
    """

    judged_at: float
    day: str
    last_images: dict[str, str]
    verdicts: dict[str, Any]


def monitor_folder(params: Params) -> Path:
    """Where the monitor keeps its results, one folder a day."""
    return params.state / "monitor"


def note_run(params: Params, run: MonitorRun, now: datetime.datetime) -> None:
    """Store that a run is the newest one; its folder must be complete."""
    path = monitor_folder(params) / _LAST_RUN_FILE
    try:
        earlier = _content(path)["last_images"] if path.exists() else {}
    except NormscapeError:
        earlier = {}  # rebuilt from the windows to come
    newest = run.judged.groupby("category")["day"].max()
    days = earlier | {
        str(name): max(str(day), earlier.get(str(name), "")) for name, day in newest.items()
    }
    content = {"judged_at": now.timestamp(), "day": run.day, "last_images": days}
    write_json(path, content)


def read_last_run(params: Params) -> LastRun | None:
    """The newest run; None before the first, or when its pages were pruned.

    Raises:
        NormscapeError: Its files are damaged.
    """
    path = monitor_folder(params) / _LAST_RUN_FILE
    if not path.exists():
        return None
    content = _content(path)
    verdicts = monitor_folder(params) / content["day"] / VERDICTS_FILE
    if not verdicts.exists():
        return None
    return LastRun(
        content["judged_at"], content["day"], content["last_images"], read_json(verdicts)
    )


def _content(path: Path) -> dict[str, Any]:
    """Raises NormscapeError where the file is damaged."""
    try:
        content: dict[str, Any] = read_json(path)
        days: dict[str, str] = content["last_images"]
        sound = all(isinstance(day, str) for day in days.values())
        if not (sound and isinstance(content["day"], str) and content["judged_at"] >= 0):
            raise ValueError("a field has another type")
    except (UsageError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise NormscapeError(
            f"{path} does not describe a run ({error}); remove it, the next run writes it anew"
        ) from None
    return content
