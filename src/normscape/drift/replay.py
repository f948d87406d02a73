"""All charts of all categories over all days of a history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from normscape.drift.budget import limits
from normscape.drift.chart import Course, Figures, Rule, run_chart
from normscape.drift.episodes import Flags
from normscape.drift.history import History
from normscape.drift.reference import LOOKS, Reference
from normscape.drift.robust import Numbers
from normscape.drift.tail import TailCounts, TailCourse, run_tail
from normscape.sections.production import MonitorParams

SPREAD_IMAGES = 50
"""A day with fewer images of a category says nothing of the width of its scores."""

_SPREAD_VARIANCE = 1.3  # of the figure of the width, times the number of images
_SPREAD_OFFSET = 0.1  # prior of its harmless variation between days
_LOOK = Rule(limit=4.0, min_effect=0.5, day_to_day=0.25)  # of an image statistic
_RECENT_DAYS = 7  # a look that changed longer ago is the usual look


@dataclass(frozen=True)
class Replay:
    """What every chart said on every day.

    Attributes:
        reference: Of the model.
        days: T active days, oldest first.
        table: Of `History`.
        values: `(C, T)` bodies of the scores from the reference's, in its standard deviations.
        body: The chart of `values`.
        spread: Of their width, see `width_of_ratio`.
        tail: Of the share far above the body.
        looks: Of the image statistics, by name.
    """

    reference: Reference
    days: list[str]
    table: pd.DataFrame
    values: Numbers
    body: Course
    spread: Course
    tail: TailCourse
    looks: dict[str, Course]


def replay(reference: Reference, history: History, params: MonitorParams) -> Replay:
    """Run the charts over all days of a history; each day is judged by what was known then."""
    table, days = history.table(), history.days
    grids = _Grids(reference, table, days)
    bound = limits(params.false_alarms_per_year, len(reference.categories))
    figures = grids.figures("score")
    looks = {name: run_chart(grids.figures(name), _LOOK) for name in LOOKS}
    rule = Rule(bound.location, params.min_effect, params.day_to_day, bound.corroborated)
    body = run_chart(figures, rule, _just_changed([each.alarm for each in looks.values()]))
    least = width_of_ratio(params.min_spread)
    spread = run_chart(grids.widths(), Rule(bound.spread, least, _SPREAD_OFFSET))
    tail = run_tail(grids.tails(), limit=bound.tail, min_rise=params.min_rise)
    return Replay(reference, days, table, figures.values, body, spread, tail, looks)


def width_of_ratio(ratio: float) -> float:
    """The figure of a body `ratio` times as wide as the reference's.

    `3/2 (ratio^(2/3) - 1)`: near 1 it is `ratio - 1`, and nearly normal even for few images.

    Source:
        Wilson and Hilferty, PNAS 17 (1931), 684-688.
    """
    return float(1.5 * (ratio ** (2 / 3) - 1.0))


def ratio_of_width(width: float) -> float:
    """The inverse of `width_of_ratio`."""
    return float(max(1.0 + width / 1.5, 0.0) ** 1.5)


def trend(found: Replay) -> pd.DataFrame:
    """One row for each category and day with images.

    Columns `day`, `category`, `images`, `flagged`, `shift` (of the day's body from the reference,
    in its standard deviations), `alarm` and `rising`.
    """
    row = pd.Index(found.reference.categories).get_indexer(pd.Index(found.table["category"]))
    column = pd.Index(found.days).get_indexer(pd.Index(found.table["day"]))
    return pd.DataFrame(
        {
            "day": found.table["day"],
            "category": found.table["category"],
            "images": found.table["arrived"].astype(int),
            "flagged": found.table["flagged"].fillna(0).astype(int),
            "shift": found.values[row, column],
            "alarm": (found.body.alarm | found.spread.alarm)[row, column],
            "rising": found.tail.alarm[row, column],
        }
    )


def _just_changed(looks: list[Flags]) -> Flags:
    """`(C, T)`: on this day or a few days before, an image statistic left its usual level."""
    recent = np.zeros_like(looks[0])
    for alarm in looks:
        begun = alarm.copy()
        begun[:, 1:] &= ~alarm[:, :-1]
        for back in range(min(_RECENT_DAYS, begun.shape[1])):
            recent[:, back:] |= begun[:, : begun.shape[1] - back]
    return recent


class _Grids:
    """The table of a history as `(C, T)` arrays."""

    def __init__(self, reference: Reference, table: pd.DataFrame, days: list[str]) -> None:
        self._reference, self._table = reference, table
        self._shape = (len(reference.categories), len(days))
        self._row = pd.Index(reference.categories).get_indexer(pd.Index(table["category"]))
        self._column = pd.Index(days).get_indexer(pd.Index(table["day"]))
        self._images = self._of("images")

    def figures(self, name: str) -> Figures:
        body = self._reference.bodies[name]
        values = (self._of(f"{name}_location") - body.location[:, None]) / body.scale[:, None]
        return Figures(
            np.where(np.isfinite(values), values, np.nan),
            body.ratio[:, None] / np.maximum(self._images, 1.0),
            np.nan_to_num(body.ratio, nan=1.0) / np.maximum(self._reference.images, 1.0),
            self._reference.freedom,
        )

    def widths(self) -> Figures:
        known = self._reference.bodies["score"].spread[:, None]
        images = np.where(self._images >= SPREAD_IMAGES, self._images, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = 1.5 * ((self._of("spread") / known) ** (2 / 3) - 1.0)
        values = np.where(np.isfinite(values) & np.isfinite(images), values, np.nan)
        base = _SPREAD_VARIANCE / np.maximum(self._reference.images, 1.0)
        return Figures(values, _SPREAD_VARIANCE / images, base, self._reference.freedom)

    def tails(self) -> TailCounts:
        counts = self._of("tail")
        images = np.where(np.isfinite(counts), self._images, 0.0)
        return TailCounts(
            np.nan_to_num(counts), np.nan_to_num(images),
            self._reference.tail_images, self._reference.images,
        )  # fmt: skip

    def _of(self, column: str) -> Numbers:
        grid = np.full(self._shape, np.nan)
        grid[self._row, self._column] = self._table[column].to_numpy(dtype=np.float64)
        return grid
