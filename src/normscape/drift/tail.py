"""Has the share of very high scores risen, beyond what the body explains?

The count of a day is Poisson with a rate that varies from day to day (defects come in lots): a
gamma law with squared coefficient of variation φ, learned from the quiet days of all categories.
The category's mean rate is gamma distributed too: what the reference and the quiet days say of it.
So the count of a window is negative binomial; its variation is that of a sum of gamma laws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from normscape.drift.episodes import LENGTHS, Episodes, Flags, Look, before, since, strongest

_PRIOR_IMAGES = 50.0  # what the common rate counts for in a category without history
_PRIOR_SQUARES = 20.0  # squared expected counts that the prior of φ counts for
_PRIOR_VARIATION = 0.1
_OUTLIER = 9.0  # a squared standardised count counts at most so much in φ

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class TailCounts:
    """Images far above the body, C categories, T days.

    Attributes:
        counts: `(C, T)`.
        images: `(C, T)`; 0 where the day says nothing.
        reference_counts: `(C,)`.
        reference_images: `(C,)`.
    """

    counts: Counts
    images: Counts
    reference_counts: Counts
    reference_images: Counts


@dataclass(frozen=True)
class TailCourse:
    """What was said on every day.

    Attributes:
        alarm: `(C, T)`: the rate is above its usual level.
        rate: `(C, T)` of the most significant window; NaN without images.
        usual: `(C, T)`: what it is compared with.
        z: `(C, T)`.
        days: `(C, T)`: the length of the window.
    """

    alarm: Flags
    rate: Counts
    usual: Counts
    z: Counts
    days: NDArray[np.int64]


def run_tail(found: TailCounts, *, limit: float, min_rise: float) -> TailCourse:
    """Replay all days in order; a day's verdict knows nothing of the days after it.

    Args:
        found: The counts.
        limit: On z, one-sided.
        min_rise: The least rise of the rate that is told, in images per image.
    """
    count, days = found.counts.shape
    empty = np.full((count, days), np.nan)
    course = TailCourse(
        np.zeros((count, days), bool), empty, empty.copy(), empty.copy(),
        np.zeros((count, days), np.int64),
    )  # fmt: skip
    tail = _Tail(found)
    for day in range(days):
        rate, usual, z, calm = tail.look(day)
        seen, rows = found.images[:, day] > 0, np.arange(count)
        high = (z >= limit) & (rate - usual >= min_rise)
        best = strongest(high, z)
        for grid, values in ((course.rate, rate), (course.usual, usual), (course.z, z)):
            grid[:, day] = np.where(seen, values[rows, best], np.nan)
        course.days[:, day] = np.asarray(LENGTHS)[best]
        course.alarm[:, day] = tail.episodes.update(day, seen, high, calm, Look(rate, z))
        tail.measure(day, usual[:, 0])
    return course


class _Tail:
    def __init__(self, found: TailCounts) -> None:
        self._found = found
        self.episodes = Episodes(*found.counts.shape)
        images = max(float(found.reference_images.sum()), 1.0)
        common = (float(found.reference_counts.sum()) + 0.5) / images
        self._prior_counts = found.reference_counts + common * _PRIOR_IMAGES
        self._prior_images = found.reference_images + _PRIOR_IMAGES
        self._squares = _PRIOR_VARIATION * _PRIOR_SQUARES
        self._expected = _PRIOR_SQUARES

    @property
    def _variation(self) -> float:
        return max(self._squares / self._expected, 0.0)

    def look(self, day: int) -> tuple[Counts, Counts, Counts, Counts]:
        """Rate, usual rate, z and `calm` of `Episodes.update` of each window, `(C, K)`."""
        found, until = self._found, slice(0, day + 1)
        starts = self.episodes.starts(day)
        counts, images = found.counts[:, until], found.images[:, until]
        learned = self.episodes.learned[:, until]
        inside = [since(grid, starts) for grid in (counts, images, (images > 0).astype(float))]
        earlier = [
            before(grid * learned, starts) for grid in (counts, images, np.ones_like(counts))
        ]
        shape = self._prior_counts[:, None] + earlier[0]
        usual = shape / (self._prior_images[:, None] + earlier[1])
        spread = 1.0 / shape + self._variation * (
            1.0 / np.maximum(inside[2], 1.0) + 1.0 / (earlier[2] + 1.0)
        )
        share = inside[1] / (inside[1] + 1.0 / (spread * usual))
        p_value = special.betainc(np.maximum(inside[0], 1e-9), 1.0 / spread, share)
        p_value = np.where(inside[0] > 0, np.clip(p_value, 1e-300, 1.0), 1.0)
        z = np.where(inside[1] > 0, stats.norm.isf(p_value), -np.inf)
        # quasi-likelihood: counts that vary more than Poisson's say less
        level = np.maximum(self.episodes.level[:, None], usual)
        expected = usual * inside[1]
        ratio = (level - usual) * inside[1] - inside[0] * np.log(level / usual)
        calm = ratio / (1.0 + self._variation * expected)
        return inside[0] / np.maximum(inside[1], 1.0), usual, z, calm

    def measure(self, day: int, usual: Counts) -> None:
        """What the scatter of a quiet day's counts around the usual ones says of φ."""
        mean = usual * self._found.images[:, day]
        squared = (self._found.counts[:, day] - mean) ** 2
        capped = np.minimum(squared, _OUTLIER * (mean + self._variation * mean**2) + 4.0)
        quiet = self.episodes.learned[:, day]
        self._squares += float((capped - mean)[quiet].sum())
        self._expected += float((mean**2)[quiet].sum())
