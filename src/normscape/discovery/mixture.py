"""Prototypes on the hypersphere: a mixture of von Mises-Fisher distributions.

p(z) = Σ_k π_k C_D(κ) exp(κ μ_k·z), one concentration κ for all prototypes μ_k, by expectation and
maximisation from Ward's clusters. κ follows from the mean resultant length by the approximation of
Banerjee et al. (JMLR 6, 2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.cluster import AgglomerativeClustering

from normscape.discovery.space import Array, unit

_ROUNDS = 30
_WORD = 3.0
_LEAST_SHARE = 1e-3
_RESULTANT = (0.01, 0.99)


@dataclass(frozen=True)
class Mixture:
    """Prototypes, and how strongly they attract.

    Attributes:
        means: `(K, D)` unit vectors.
        shares: `(K,)`, of all images.
        concentration: κ.
    """

    means: Array
    shares: Array
    concentration: float

    def posterior(self, points: Array) -> NDArray[np.float64]:
        """`(n, K)`: the probability of each prototype for each unit vector `(n, D)`."""
        scores = self._scores(points)
        posterior: NDArray[np.float64] = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        return posterior

    def nearest(self, points: Array) -> NDArray[np.intp]:
        """`(n,)`: the prototype of each unit vector."""
        return np.asarray(self._scores(points).argmax(1))

    def _scores(self, points: Array) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self.concentration * (
            points.astype(np.float64) @ self.means.T
        ) + np.log(self.shares)
        return scores


def fit_mixture(
    points: Array,
    count: int,
    *,
    fixed: Mapping[int, int] | None = None,
    rounds: int = _ROUNDS,
) -> Mixture:
    """Fit prototypes.

    Args:
        points: `(n, D)` unit vectors, n >= count.
        count: Of the prototypes.
        fixed: Prototypes of points that a person has labelled, by the number of the point; the
            prototypes with the numbers in it are the ones that the labels speak of.
        rounds: Of expectation and maximisation.
    """
    labels = _seeded(points, ward(points, count), count, fixed or {})
    return refine(points, np.eye(count)[labels], fixed=fixed, rounds=rounds)


def refine(
    points: Array,
    weights: NDArray[np.float64],
    *,
    fixed: Mapping[int, int] | None = None,
    rounds: int = _ROUNDS,
) -> Mixture:
    """Expectation and maximisation from responsibilities `(n, K)`.

    What a person has said weighs as much as `_WORD` images. Much more would tear the prototypes to
    the few labelled images and away from the others of their kind.
    """
    held = np.array(list(fixed or {}), dtype=int)
    right = _WORD * np.eye(weights.shape[1])[[*(fixed or {}).values()]]
    weights = weights.copy()
    weights[held] = right
    for _ in range(rounds):
        mixture = _maximise(points, weights)
        weights = mixture.posterior(points)
        weights[held] = right
    return _maximise(points, weights)


def ward(points: Array, count: int) -> NDArray[np.intp]:
    """`(n,)` cluster numbers by Ward's criterion; it draws nothing."""
    if count == 1 or len(points) == 1:
        return np.zeros(len(points), dtype=np.intp)
    return np.asarray(AgglomerativeClustering(count, linkage="ward").fit_predict(points))


def _maximise(points: Array, weights: NDArray[np.float64]) -> Mixture:
    sums = weights.T @ points.astype(np.float64)
    means = unit(sums)
    dimensions = points.shape[1]
    resultant = float(np.clip((weights * (points @ means.T)).sum() / weights.sum(), *_RESULTANT))
    concentration = resultant * (dimensions - resultant**2) / (1 - resultant**2)
    shares = weights.sum(0) / weights.sum() + _LEAST_SHARE
    return Mixture(means, (shares / shares.sum()).astype(np.float32), max(concentration, 1e-3))


def _seeded(
    points: Array, labels: NDArray[np.intp], count: int, fixed: Mapping[int, int]
) -> NDArray[np.intp]:
    """Clusters renumbered so that those nearest to what is labelled have the labels' numbers."""
    if not fixed:
        return labels
    from scipy.optimize import linear_sum_assignment

    wanted = sorted(set(fixed.values()))
    targets = unit(
        np.stack(
            [points[[i for i, k in fixed.items() if k == number]].mean(0) for number in wanted]
        )
    )
    centres = unit(np.stack([points[labels == number].mean(0) for number in range(count)]))
    rows, columns = linear_sum_assignment(-(targets @ centres.T))
    numbers = dict(zip(columns, (wanted[row] for row in rows), strict=True))
    free = iter(number for number in range(count) if number not in numbers.values())
    renumbered = np.array([numbers[k] if k in numbers else next(free) for k in range(count)])
    result = renumbered[labels]
    for index, number in fixed.items():
        result[index] = number
    return result
