"""How many kinds of defects there are: as many as come out again from another half of the images.

For each number the images are halved at random many times, prototypes are fitted on each half, and
the two sets of prototypes group all images. Where the number is right the two groupings agree
(Lange et al., Neural Computation 16, 2004; agreement is the adjusted Rand index, 0 by chance). One
cloud without groups agrees with itself, too, the more the fewer parts it is cut into; so agreement
counts from that of clouds drawn from one normal distribution with the same covariance: from their
mean to say whether there are kinds at all, from what they hardly reach to say how many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from normscape.discovery.mixture import fit_mixture
from normscape.discovery.space import Array, unit
from normscape.sections.production import DiscoveryParams

_HALVES = 32
_CLOUDS, _CLOUD_HALVES = 8, 4
_DEVIATIONS = 3.0  # of the clouds' agreements, above their mean
_MOST_USUAL = 0.99
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
    agreements = {
        number: _agreements(points, clouds, number, generator) for number in range(2, most + 1)
    }
    stability = {number: round(each.beyond(0.0), 4) for number, each in agreements.items()}
    if max(stability.values(), default=0.0) < params.min_stability:
        return Count(1, stability)
    clear = {number: each.beyond(_DEVIATIONS) for number, each in agreements.items()}
    # Of numbers that are about as clear the smallest counts.
    highest = max(clear.values(), default=0.0)
    best = min((n for n, value in clear.items() if value >= highest - _TIE), default=1)
    return Count(best, stability)


@dataclass(frozen=True)
class _Agreements:
    own: float
    clouds: list[float]

    def beyond(self, deviations: float) -> float:
        """0 where the agreement is the clouds' mean and so many standard deviations; at most 1."""
        usual = float(np.mean(self.clouds) + deviations * np.std(self.clouds))
        usual = min(usual, _MOST_USUAL)
        return (self.own - usual) / (1.0 - usual)


def _agreements(
    points: Array, clouds: list[Array], number: int, generator: np.random.Generator
) -> _Agreements:
    usual = [_agreement(cloud, number, _CLOUD_HALVES, generator) for cloud in clouds]
    return _Agreements(_agreement(points, number, _HALVES, generator), usual)


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
