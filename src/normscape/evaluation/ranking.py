"""Where normal values rank among anomalous ones: all that the exact metrics need to know.

Every metric used here changes only at thresholds that are the value of an anomalous item. So the
normal values, by far the most, need not be kept: they are counted between the anomalous ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normscape.errors import NormscapeError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """Counts at each distinct anomalous value, from the highest to the lowest.

    Attributes:
        positives: Number of anomalous items, at least 1.
        negatives: Number of normal items, at least 1.
        true: `(U,)` anomalous items at or above the value.
        false: `(U,)` normal items at or above the value.
        false_above: `(U,)` normal items above it; the difference is tied with it.
        weight: `(U,)` summed weight of the anomalous items of exactly this value.
    """

    positives: int
    negatives: int
    true: Integers
    false: Integers
    false_above: Integers
    weight: Floats


@dataclass(frozen=True)
class Rankings:
    """Rankings for metrics and curves.

    Attributes:
        categories: Per category that has both anomalous and normal items.
        pooled: Over all categories; None where there is nothing to rank.
    """

    categories: dict[str, Ranking]
    pooled: Ranking | None


class RankingBuilder:
    """Counts normal values between the anomalous ones, in as many parts as come.

    Args:
        positives: `(P,)` anomalous values.
        weights: `(P,)` weight of each for `Ranking.weight`; 1 when left out.

    Raises:
        NormscapeError: A value is not finite.
    """

    def __init__(
        self, positives: NDArray[np.floating], weights: NDArray[np.floating] | None = None
    ) -> None:
        check_finite(positives)
        values, place, counts = np.unique(positives, return_inverse=True, return_counts=True)
        self._values = values
        self._counts = counts
        self._weight = counts if weights is None else np.bincount(place, weights, len(values))
        # Index j counts the normals between two neighbouring anomalous values.
        self._at_or_above = np.zeros(len(values) + 1, dtype=np.int64)
        self._above = np.zeros(len(values) + 1, dtype=np.int64)
        self._negatives = 0

    def add(self, negatives: NDArray[np.floating]) -> None:
        """Count `(N,)` normal values; fastest when they are sorted.

        Raises:
            NormscapeError: A value is not finite.
        """
        check_finite(negatives)
        size = len(self._values)
        left = np.searchsorted(self._values, negatives, side="left")
        tied = (left < size) & (self._values[np.minimum(left, size - 1)] == negatives)
        self._above += np.bincount(left, minlength=size + 1)
        self._at_or_above += np.bincount(left + tied, minlength=size + 1)
        self._negatives += len(negatives)

    def result(self) -> Ranking:
        """Return the ranking of what was added so far.

        Raises:
            NormscapeError: There are no anomalous or no normal items.
        """
        if not len(self._values) or not self._negatives:
            raise NormscapeError(
                f"ranking: found {self._counts.sum()} anomalous and {self._negatives} normal "
                "items; expected at least one of each"
            )
        # A normal with index j lies above the j lowest anomalous values.
        return Ranking(
            positives=int(self._counts.sum()),
            negatives=self._negatives,
            true=np.cumsum(self._counts[::-1]),
            false=np.cumsum(self._at_or_above[:0:-1]),
            false_above=np.cumsum(self._above[:0:-1]),
            weight=np.asarray(self._weight[::-1], dtype=np.float64),
        )


def rank(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> Ranking:
    """Rank `(N,)` normal among `(P,)` anomalous values.

    Raises:
        NormscapeError: One of both is empty, or a value is not finite.
    """
    builder = RankingBuilder(positives)
    if len(positives):
        builder.add(negatives)
    return builder.result()


def check_finite(values: NDArray[np.floating]) -> None:
    """Refuse NaN and infinity, which no threshold separates.

    Raises:
        NormscapeError: A value is not finite.
    """
    if not np.isfinite(values).all():
        raise NormscapeError(
            f"scores: {int((~np.isfinite(values)).sum())} of {values.size} are not finite; "
            "expected numbers; check the detector and its input"
        )
