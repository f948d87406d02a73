"""Grouping the described images of one category: space, number of kinds, prototypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normscape.discovery.count import Count, estimate
from normscape.discovery.describe import Described
from normscape.discovery.knowledge import Placed
from normscape.discovery.mixture import Mixture, fit_mixture
from normscape.discovery.space import Space, nearest_other
from normscape.discovery.views import PLAIN
from normscape.sections.production import DiscoveryParams


@dataclass(frozen=True)
class Grouped:
    """Images in groups.

    Attributes:
        space: In which they are compared.
        placed: The images in it.
        mixture: One prototype a group, none without an image.
        groups: `(M,)`: the group of each image that shows a region.
        fits: Sorted: cosine of each image, seen as a new one is, to the nearest other one.
        count: The estimate of the number of groups; None where it was given.
    """

    space: Space
    placed: Placed
    mixture: Mixture
    groups: NDArray[np.intp]
    fits: NDArray[np.float64]
    count: Count | None


def group(
    described: Sequence[Described],
    levels: Sequence[int],
    params: DiscoveryParams,
    *,
    labels: Mapping[int, int] | None = None,
) -> Grouped:
    """Group images by what their regions look like.

    Args:
        described: At least one of them shows a region.
        levels: Channels of each level of the backbone.
        params: Section `discovery`.
        labels: Groups that a person has given, numbered from 0, by the number of the image among
            those that show a region.
    """
    fixed = dict(labels or {})
    space = Space.fit(
        [each for each in described if len(each.areas)], levels,
        dimensions=params.dimensions, surroundings=params.surroundings,
    )  # fmt: skip
    placed = Placed.of(space, described)
    points = placed.points
    count = None if params.types else estimate(points, params)
    wanted = max(params.types or (count.types if count else 1), len(set(fixed.values())))
    mixture = fit_mixture(points, min(wanted, len(points)), fixed=fixed)
    groups = mixture.nearest(points)
    groups[list(fixed)] = list(fixed.values())
    used, groups = np.unique(groups, return_inverse=True)
    shares = mixture.shares[used] / mixture.shares[used].sum()
    return Grouped(
        space=space,
        placed=placed,
        mixture=Mixture(mixture.means[used], shares, mixture.concentration),
        groups=groups,
        fits=np.sort(nearest_other(points, Placed.of(space, described, PLAIN).points)),
        count=count,
    )
