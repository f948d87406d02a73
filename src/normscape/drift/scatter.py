"""How much the days of quiet categories scatter: learned from the days themselves.

The squared distance r² of a day's figure from its category's baseline has the expectation
`f (D s + c τ²)`: s is the sampling variance that independent images would give and c counts the
offsets in it (both known), D the design effect of images that resemble their neighbours, τ² the
variance of the harmless offset between days, f what a category scatters more than the others. D
and τ² are those of all categories, found by weighted least squares together with their priors; f
belongs to each category and is drawn towards one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from normscape.drift.episodes import Flags

POOL_DAYS = 40.0
"""Days that f = 1 counts for against a category's own."""

_PRIOR_DAYS = 20.0  # that the priors of D and of τ² count for, each
_LAG = 7  # days that f lies behind, lest a shift hide itself in it
_OUTLIER = 9.0  # a squared standardised day counts at most so much
_LEAST_OFFSET = 1e-4

Row = NDArray[np.float64]


class Scatter:
    """D, τ² and f over T days; what is asked for day t rests on the days before it."""

    def __init__(self, categories: int, days: int, day_to_day: float) -> None:
        prior = max(day_to_day**2, _LEAST_OFFSET)
        self._moments = _PRIOR_DAYS * np.diag([1.0, 1.0 / prior**2])
        self._sums = _PRIOR_DAYS * np.array([1.0, 1.0 / prior])
        self._ratios = np.zeros((categories, days + 1))
        self._counts = np.zeros((categories, days + 1))
        self.design, self.offset = 1.0, day_to_day**2

    def factor(self, day: int) -> Row:
        """The factor f of each category, `(C,)`."""
        lagged = max(day - _LAG, 0)
        own: Row = (POOL_DAYS + self._ratios[:, lagged]) / (POOL_DAYS + self._counts[:, lagged])
        return own

    def days(self, day: int) -> Row:
        """Quiet days of each category before this one, `(C,)`."""
        counted: Row = self._counts[:, day]
        return counted

    def add(self, day: int, squared: Row, sampling: Row, offsets: Row, quiet: Flags) -> None:
        """Learn from the quiet categories of a day: r², s and c of each, `(C,)`."""
        expected = np.maximum(self.design * sampling + offsets * self.offset, 1e-12)
        ratio = np.minimum(squared / expected, _OUTLIER * self.factor(day))
        self._ratios[:, day + 1] = self._ratios[:, day] + np.where(quiet, ratio, 0.0)
        self._counts[:, day + 1] = self._counts[:, day] + quiet
        parts = np.stack([sampling / expected, offsets / expected], axis=1)[quiet]
        self._moments += parts.T @ parts
        self._sums += parts.T @ ratio[quiet]
        self._solve()

    def _solve(self) -> None:
        (a, b), (_, c) = self._moments
        design, offset = np.linalg.solve(self._moments, self._sums)
        if design < 1.0:
            design, offset = 1.0, (self._sums[1] - b) / c
        if offset < 0.0:
            design, offset = max(self._sums[0] / a, 1.0), 0.0
        self.design, self.offset = float(design), max(float(offset), 0.0)
