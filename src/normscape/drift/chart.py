"""A control chart that learns its baseline: has a daily figure left its usual level?

The figure of a day is `d = b + u + e`: the category's level b, a harmless offset u of the day with
variance τ², and the sampling error e of the day's images with variance v. Nobody knows b: the
reference of n images says `b ~ N(0, V)`, and every quiet day says more. Nobody knows τ² either: it
starts at a prior and is learned from the scatter of the quiet days, of all categories together and
of each one.

On day t, for each length k, the last k days are compared with the level learned before them:

    shift = mean of the window - posterior mean of b
    z = shift / sqrt(1/Σ 1/(v + τ²) + Var(b | before))

with weights 1/(v + τ²). A chart alarms where a |z| reaches its limit (`normscape.drift.budget`) and
the shift is large enough to matter. The days of a shift that was found are never learned from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from normscape.drift.episodes import LENGTHS, Episodes, Flags, Grid, Look, since, strongest
from normscape.drift.scatter import POOL_DAYS, Row, Scatter

_TINY = 1e-12


@dataclass(frozen=True)
class Figures:
    """The daily figures of C categories over T days.

    Attributes:
        values: `(C, T)` differences from the reference; NaN where the day says nothing.
        variances: `(C, T)` sampling variances, v.
        reference_variance: `(C,)` sampling variance of the reference.
        freedom: `(C,)` degrees of freedom of the unit of `values`.
    """

    values: Grid
    variances: Grid
    reference_variance: NDArray[np.float64]
    freedom: NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """When a chart alarms.

    Attributes:
        limit: On |z|.
        min_effect: On |shift|.
        day_to_day: Prior of τ.
        corroborated: On |z|, on days on which something else speaks for a change.
    """

    limit: float
    min_effect: float
    day_to_day: float
    corroborated: float = np.inf


@dataclass(frozen=True)
class Course:
    """What a chart said on every day.

    Attributes:
        alarm: `(C, T)`: the category is away from its level.
        shift: `(C, T)` of the most significant window, in the unit of the values; NaN without data.
        z: `(C, T)` of the same window.
        days: `(C, T)` its length.
        offset: `(T,)` τ of all categories, as known on that day.
    """

    alarm: Flags
    shift: Grid
    z: Grid
    days: NDArray[np.int64]
    offset: NDArray[np.float64]


def run_chart(figures: Figures, rule: Rule, other: Flags | None = None) -> Course:
    """Replay all days in order; a day's verdict knows nothing of the days after it.

    Args:
        figures: What is charted.
        rule: When to alarm.
        other: `(C, T)`: something else speaks for a change; never when None.
    """
    size = figures.values.shape
    course = Course(
        np.zeros(size, bool), np.full(size, np.nan), np.full(size, np.nan),
        np.zeros(size, np.int64), np.empty(size[1]),
    )  # fmt: skip
    chart = _Chart(figures, rule, np.zeros(size, bool) if other is None else other)
    for day in range(size[1]):
        chart.look(day, course)
    return course


class _Chart:
    def __init__(self, figures: Figures, rule: Rule, other: Flags) -> None:
        self._figures, self._rule = figures, rule
        self._limits = np.where(other, min(rule.corroborated, rule.limit), rule.limit)
        count, days = figures.values.shape
        self._seen = np.isfinite(figures.values)
        self._values = np.where(self._seen, figures.values, 0.0)
        self._sampling = np.where(self._seen, figures.variances, 1.0)
        self._episodes = Episodes(count, days)
        self._scatter = Scatter(count, days, rule.day_to_day)

    def look(self, day: int, course: Course) -> None:
        seen, until = self._seen[:, day], slice(0, day + 1)
        design, offset = self._scatter.design, self._scatter.offset
        factor = self._scatter.factor(day)
        weight = self._seen[:, until] / np.maximum(
            factor[:, None] * (design * self._sampling[:, until] + offset), _TINY
        )
        prior = np.maximum(factor * (design * self._figures.reference_variance + offset), _TINY)
        shift, error, used = self._windows(day, weight, 1.0 / prior)
        freedom = np.minimum(self._figures.freedom, POOL_DAYS) + self._scatter.days(day)
        z = _normal_score(shift / error, freedom[:, None])
        strength = np.where(used, np.abs(z), -1.0)
        found = (strength >= self._limits[:, day, None]) & (np.abs(shift) >= self._rule.min_effect)
        best, rows = strongest(found, strength), np.arange(len(seen))
        course.offset[day] = np.sqrt(offset)
        course.shift[:, day] = np.where(seen, shift[rows, best], np.nan)
        course.z[:, day] = np.where(seen, z[rows, best], np.nan)
        course.days[:, day] = np.asarray(LENGTHS)[best]
        scattered = self._squared(day, weight, 1.0 / prior)
        level = self._episodes.level[:, None]
        calm = np.where(used, level * (level - 2.0 * shift) / (2.0 * error**2), -np.inf)
        look = Look(shift, strength)
        course.alarm[:, day] = self._episodes.update(day, seen, found, calm, look)
        self._scatter.add(day, *scattered, self._episodes.learned[:, day])

    def _baseline(self, day: int, weight: Grid, prior: Row) -> tuple[Grid, Grid]:
        """Precision and mean of b from the days before each day up to `day`, `(C, day + 1)`."""
        learned = weight * self._episodes.learned[:, : day + 1]
        precision = np.cumsum(learned, axis=1) - learned + prior[:, None]
        mass = learned * self._values[:, : day + 1]
        return precision, (np.cumsum(mass, axis=1) - mass) / precision

    def _windows(self, day: int, weight: Grid, prior: Row) -> tuple[Grid, Grid, Flags]:
        """Shift, its standard error and whether there is a window, for each length."""
        precision, mean = self._baseline(day, weight, prior)
        starts = self._episodes.starts(day)
        inside = since(weight, starts)
        used = inside > 0
        inside = np.where(used, inside, 1.0)
        summed = since(weight * self._values[:, : day + 1], starts)
        rows = np.arange(len(starts))[:, None]
        shift = np.where(used, summed / inside - mean[rows, starts], 0.0)
        return shift, np.sqrt(1.0 / inside + 1.0 / precision[rows, starts]), used

    def _squared(self, day: int, weight: Grid, prior: Row) -> tuple[Row, Row, Row]:
        """r², s and c of `Scatter` for a day.

        The baseline is a mean with weights a, of the reference and of the days learned: a new day
        lies around it with `s = v + Σ a² v` and `c = 1 + Σ a²`.
        """
        precision, mean = self._baseline(day, weight, prior)
        parts = weight * self._episodes.learned[:, : day + 1] / precision[:, -1:]
        first = prior / precision[:, -1]
        sampling = first**2 * self._figures.reference_variance + self._sampling[:, day]
        sampling += (parts**2 * self._sampling[:, : day + 1]).sum(axis=1)
        offsets = 1.0 + first**2 + (parts**2).sum(axis=1)
        return (self._values[:, day] - mean[:, -1]) ** 2, sampling, offsets


def _normal_score(t: Grid, freedom: Grid) -> Grid:
    """The standard normal value as improbable as Student's t."""
    tail = np.clip(stats.t.logsf(np.abs(t), freedom), -700.0, np.log(0.5))
    scored: Grid = np.sign(t) * stats.norm.isf(np.exp(tail))
    return scored
