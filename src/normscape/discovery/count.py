"""How many kinds of defects there are: as many as come out again from another half of the images.

For each number the images are halved at random many times, prototypes are fitted on each half, and
the two sets of prototypes group all images. Where the number is right the two groupings agree
(Lange et al., Neural Computation 16, 2004; agreement is the adjusted Rand index, 0 by chance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from normscape.discovery.mixture import fit_mixture
from normscape.discovery.space import Array
from normscape.params import DiscoveryParams

_HALVES = 16
_ROUNDS = 10


@dataclass(frozen=True)
class Count:
    """An estimate.

    Attributes:
        types: The number of kinds.
        stability: Mean agreement of two halves, by the number that was tried.
    """

    types: int
    stability: dict[int, float]


def estimate(points: Array, params: DiscoveryParams) -> Count:
    """Estimate the number of kinds among images.

    Args:
        points: `(n, D)` unit vectors.
        params: `max_types`, `min_images`, `min_stability` and `seed` are used.

    Returns:
        1 where no number comes out again reliably, or there are too few images for two kinds.
    """
    most = min(params.max_types, len(points) // params.min_images)
    stability = {number: _agreement(points, number, params.seed) for number in range(2, most + 1)}
    best = max(stability, key=lambda number: stability[number], default=1)
    if stability.get(best, 0.0) < params.min_stability:
        best = 1
    return Count(best, {number: round(value, 4) for number, value in stability.items()})


def _agreement(points: Array, number: int, seed: int) -> float:
    generator = np.random.default_rng([seed, number])
    found = []
    for _ in range(_HALVES):
        order = generator.permutation(len(points))
        halves = np.array_split(order, 2)
        first, second = (
            fit_mixture(points[half], number, rounds=_ROUNDS).nearest(points) for half in halves
        )
        # Two groupings that both hold less than so many groups agree in nothing.
        kinds = min(len(np.unique(first)), len(np.unique(second)))
        found.append(adjusted_rand_score(first, second) if kinds == number else 0.0)
    return float(np.mean(found))
