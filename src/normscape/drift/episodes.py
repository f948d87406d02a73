"""From looks at windows to episodes: when an alarm begins and ends, and what is learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTHS = (1, 2, 3, 5, 7, 14)
"""Days of the windows that are looked at, the last of them the day itself."""

CALM_EVIDENCE = 4.0
"""Log likelihood ratio, usual level against that of the alarm, from where an alarm is over."""

Grid = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """A day's look at the windows of C charts, `(C, K)` each.

    Attributes:
        figure: What is charted.
        strength: How far it is from usual.
    """

    figure: Grid
    strength: Grid


class Episodes:
    """The state of C charts over T days.

    Attributes:
        learned: `(C, T)`: the days that the usual level is learned from.
        away: `(C,)`: an alarm is on.
        level: `(C,)`: the figure of the window that began it.
    """

    def __init__(self, categories: int, days: int) -> None:
        self.learned = np.zeros((categories, days), bool)
        self.away = np.zeros(categories, bool)
        self.level = np.zeros(categories)
        self._first = np.zeros(categories, np.int64)

    def starts(self, day: int) -> NDArray[np.int64]:
        """`(C, K)`: the first day of each window; none reaches back beyond the last change."""
        wanted = np.maximum(day + 1 - np.asarray(LENGTHS)[None, :], self._first[:, None])
        starts: NDArray[np.int64] = np.minimum(wanted, day)
        return starts

    def update(self, day: int, seen: Flags, found: Flags, calm: Grid, look: Look) -> Flags:
        """Begin and end alarms after a day was looked at.

        Args:
            day: Its index.
            seen: `(C,)`: there were images.
            found: `(C, K)`: the windows that alarm.
            calm: `(C, K)`: log likelihood ratio of each window, usual level against `level`.
            look: The windows; the strongest that alarms says when the change began.

        Returns:
            `away`, a copy.
        """
        begins = found.any(axis=1) & seen & ~self.away
        ends = self.away & seen & (calm >= CALM_EVIDENCE).any(axis=1)
        best = strongest(found, look.strength)
        starts = self.starts(day)
        for row in np.flatnonzero(begins):
            start = int(starts[row, best[row]])
            self.learned[row, start : day + 1] = False
            self._first[row], self.level[row] = start, look.figure[row, best[row]]
        for row in np.flatnonzero(ends):
            self._first[row] = starts[row, int(np.argmax(calm[row]))]
        self.away = (self.away | begins) & ~ends
        self.learned[seen & ~self.away, day] = True
        return self.away.copy()


def strongest(found: Flags, strength: Grid) -> NDArray[np.int64]:
    """`(C,)`: the window to show: the strongest of those that alarm, else of all."""
    best: NDArray[np.int64] = np.argmax(
        np.where(found, 1e6, 0.0) + np.clip(strength, -1e5, 1e5), axis=1
    )
    return best


def since(grid: Grid, starts: NDArray[np.int64]) -> Grid:
    """Sums over each window, `(C, T)` and `(C, K)` → `(C, K)`."""
    summed: Grid = grid.sum(axis=1)[:, None] - before(grid, starts)
    return summed


def before(grid: Grid, starts: NDArray[np.int64]) -> Grid:
    """Sums over the days before each window."""
    padded = np.concatenate([np.zeros((len(grid), 1)), np.cumsum(grid, axis=1)], axis=1)
    summed: Grid = np.take_along_axis(padded, starts, axis=1)
    return summed
