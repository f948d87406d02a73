"""The alerts that a setting would have raised over a history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normscape.alerts import Kind
from normscape.drift.replay import Replay
from normscape.drift.silence import find_silent
from normscape.sections.production import MonitorParams

KINDS = (Kind.DRIFT, Kind.DEFECTS, Kind.TRAFFIC)
"""What is replayed: what only the daily figures are needed for."""


@dataclass(frozen=True)
class Raised:
    """An alert that would have been raised.

    Attributes:
        kind: What would have happened.
        category: To which category.
        days: The days with the finding, in order.
    """

    kind: Kind
    category: str
    days: tuple[str, ...]


def raised(found: Replay, params: MonitorParams, quiet_windows: int) -> list[Raised]:
    """The alerts of a replay, by their first day.

    As in production, findings of a category belong to one alert until `quiet_windows` days in a row
    were judged and did not show it.

    Args:
        found: Of all days.
        params: Section `monitor` of the replay.
        quiet_windows: Of the section `alerts`.
    """
    if not found.days:
        return []
    seen = np.isfinite(found.body.z)
    came = _came(found)
    grids = {
        Kind.DRIFT: ((found.body.alarm | found.spread.alarm) & seen, seen),
        Kind.DEFECTS: (found.tail.alarm & came, seen),
        Kind.TRAFFIC: (_silent(found, params), came),
    }
    alerts = [
        Raised(kind, name, tuple(found.days[place] for place in days))
        for kind, (alarm, judged) in grids.items()
        for row, name in enumerate(found.reference.categories)
        for days in _episodes(alarm[row], judged[row], quiet_windows)
    ]
    return sorted(alerts, key=lambda each: (each.days[0], KINDS.index(each.kind), each.category))


def _episodes(
    alarm: NDArray[np.bool_], judged: NDArray[np.bool_], quiet_windows: int
) -> list[list[int]]:
    episodes: list[list[int]] = []
    quiet = quiet_windows
    for day in np.flatnonzero(alarm | judged):
        if not alarm[day]:
            quiet += 1
            continue
        if quiet >= quiet_windows:
            episodes.append([])
        episodes[-1].append(int(day))
        quiet = 0
    return episodes


def _came(found: Replay) -> NDArray[np.bool_]:
    """`(C, T)`: the category had images."""
    came = np.zeros(found.values.shape, bool)
    row, column = _places(found)
    came[row, column] = True
    return came


def _silent(found: Replay, params: MonitorParams) -> NDArray[np.bool_]:
    """`(C, T)`: the category stayed away, judged by what was known on the day."""
    silent = np.zeros(found.values.shape, bool)
    _, column = _places(found)
    rows = {name: row for row, name in enumerate(found.reference.categories)}
    for day in range(len(found.days)):
        for each in find_silent(
            found.table[column <= day], found.days[: day + 1],
            false_alarms=params.false_alarms_per_year, categories=len(rows),
        ):  # fmt: skip
            silent[rows[each.category], day] = True
    return silent


def _places(found: Replay) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of each line of the table."""
    return (
        pd.Index(found.reference.categories).get_indexer(pd.Index(found.table["category"])),
        pd.Index(found.days).get_indexer(pd.Index(found.table["day"])),
    )
