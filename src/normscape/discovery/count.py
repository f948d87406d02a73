"""How many kinds of defects there are: as many as come out again from another half of the images.

For each number the images are halved at random many times, prototypes are fitted on each half, and
the two sets of prototypes group all images. Where the number is right the two groupings agree
(Lange et al., Neural Computation 16, 2004; agreement is the adjusted Rand index, 0 by chance). One
cloud without groups agrees with itself, too, the more the fewer parts it is cut into; so agreement
counts from that of a normal distribution with the same covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from normscape.discovery.mixture import fit_mixture
from normscape.discovery.space import Array, unit
from normscape.params import DiscoveryParams

_HALVES = 16
_CLOUDS, _CLOUD_HALVES = 3, 8
_ROUNDS = 10
_TIE = 0.05
_MOST = 1000  # images that the number is estimated from


@dataclass(frozen=True)
class Count:
    """An estimate.

    Attributes:
        types: The number of kinds.
        stability: By the number that was tried: mean agreement of two halves, 0 for that of one
            cloud and 1 for full agreement.
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
    generator = np.random.default_rng(params.seed)
    if len(points) > _MOST:
        points = points[generator.choice(len(points), _MOST, replace=False)]
    clouds = [_cloud(points, generator) for _ in range(_CLOUDS if most > 1 else 0)]
    stability = {
        number: _stability(points, clouds, number, generator) for number in range(2, most + 1)
    }
    highest = max(stability.values(), default=0.0)
    # Half of the right number comes out again just as reliably: of equals the largest counts.
    best = max((n for n, value in stability.items() if value >= highest - _TIE), default=1)
    if highest < params.min_stability:
        best = 1
    return Count(best, {number: round(value, 4) for number, value in stability.items()})


def _stability(
    points: Array, clouds: list[Array], number: int, generator: np.random.Generator
) -> float:
    usual = float(
        np.mean([_agreement(cloud, number, _CLOUD_HALVES, generator) for cloud in clouds])
    )
    return (_agreement(points, number, _HALVES, generator) - usual) / max(1.0 - usual, 1e-6)


def _agreement(points: Array, number: int, halves: int, generator: np.random.Generator) -> float:
    found = []
    for _ in range(halves):
        order = generator.permutation(len(points))
        first, second = (
            fit_mixture(points[half], number, rounds=_ROUNDS).nearest(points)
            for half in np.array_split(order, 2)
        )
        # Two groupings that both hold less than so many groups agree in nothing.
        kinds = min(len(np.unique(first)), len(np.unique(second)))
        found.append(adjusted_rand_score(first, second) if kinds == number else 0.0)
    return float(np.mean(found))


def _cloud(points: Array, generator: np.random.Generator) -> Array:
    """As many unit vectors from a normal distribution with the points' mean and covariance."""
    mean = points.mean(0)
    _, lengths, axes = np.linalg.svd(points - mean, full_matrices=False)
    drawn = generator.normal(size=(len(points), len(lengths))) * lengths / np.sqrt(len(points))
    return unit(mean + drawn @ axes)
