"""What is known of the defects of one category: enough to assign a new image without training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normscape.discovery.describe import Described
from normscape.discovery.foreground import ObjectPrior
from normscape.discovery.mixture import Mixture
from normscape.discovery.regions import Level
from normscape.discovery.space import Array, Space, unit
from normscape.discovery.vote import vote


@dataclass(frozen=True)
class Placed:
    """Images on the sphere.

    Attributes:
        shown: `(N,)`: whether the image has a region at all.
        points: `(M, D)` unit vectors of those that have.
        views: `(R, V, D)` unit vectors of the views of all their regions.
        areas: Of the regions of each of the M images.
    """

    shown: NDArray[np.bool_]
    points: Array
    views: Array
    areas: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, space: Space, described: Sequence[Described], most: int | None = None) -> Placed:
        """Place images by their regions: the mean direction, larger regions weigh more.

        Args:
            space: Of their category.
            described: The images.
            most: Only so many views of each region, the first; all when None.
        """
        shown = np.array([len(each.areas) > 0 for each in described], dtype=bool)
        seen = [each for each in described if len(each.areas)]
        dimensions = len(space.projection)
        if not seen:
            return cls(shown, np.empty((0, dimensions), np.float32), np.empty((0, 1, dimensions),
                       np.float32), ())  # fmt: skip
        views = space.views(seen)[:, :most]
        areas = tuple(each.areas for each in seen)
        return cls(shown, unit(vote(areas, unit(views.mean(1)))), views, areas)


@dataclass(frozen=True)
class Verdict:
    """What is said of an image.

    Attributes:
        type: Id of the kind of defect; None: it shows none that is known.
        confidence: Belief in the type, averaged over the views of the regions; 0 without a type.
        p_value: Of fitting a known kind as badly as that, or worse, if it were one.
        nearest: Id of the type that it resembles most; None where the map shows nothing.
    """

    type: str | None
    confidence: float
    p_value: float
    nearest: str | None


@dataclass(frozen=True)
class Knowledge:
    """The stored part of a discovery.

    Attributes:
        level: What maps are measured by.
        prior: Where the object is; None: everywhere.
        space: From features to the sphere.
        mixture: The prototypes.
        owners: Type of each prototype; several may be of one type.
        fits: Sorted: cosine of each image that this was learned from to the nearest other one, the
            image seen as a new one is.
    """

    level: Level
    prior: ObjectPrior | None
    space: Space
    mixture: Mixture
    owners: tuple[str, ...]
    fits: NDArray[np.float64]

    @property
    def types(self) -> list[str]:
        """Types that have prototypes, in the order of those."""
        return list(dict.fromkeys(self.owners))

    def beliefs(self, placed: Placed) -> NDArray[np.float64]:
        """`(M, T)`: the belief in each type, averaged over the views and regions of each image."""
        regions, views, dimensions = placed.views.shape
        flat = self.mixture.posterior(placed.views.reshape(-1, dimensions))
        return vote(placed.areas, by_type(flat, self.owners).reshape(regions, views, -1).mean(1))

    def p_values(self, points: Array, known: Array) -> NDArray[np.float64]:
        """Conformal p-values of being of a known kind, never below 1/(n+1).

        Args:
            points: `(M, D)` of the images.
            known: `(P, D)` of images whose kind is known.
        """
        nearest = (points @ known.T).max(1)
        lower = np.searchsorted(self.fits, nearest, side="right")
        return np.asarray((1 + lower) / (1 + len(self.fits)), dtype=np.float64)

    def judge(self, placed: Placed, known: Array, alpha: float) -> list[Verdict]:
        """A verdict on each of the N images.

        Args:
            placed: The images in this space.
            known: `(P, D)` of images whose kind is known.
            alpha: p-value below which an image belongs to no known type.
        """
        verdicts: Iterator[Verdict] = iter(())
        if len(placed.points):
            nearest = [self.owners[k] for k in self.mixture.nearest(placed.points)]
            beliefs, chances = self.beliefs(placed), self.p_values(placed.points, known)
            columns = {name: column for column, name in enumerate(self.types)}
            verdicts = iter(
                Verdict(name, round(float(row[columns[name]]), 4), round(float(p), 5), name)
                if p >= alpha
                else Verdict(None, 0.0, round(float(p), 5), name)
                for name, row, p in zip(nearest, beliefs, chances, strict=True)
            )
        return [next(verdicts) if seen else Verdict(None, 0.0, 1.0, None) for seen in placed.shown]


def by_type(values: NDArray[np.float64], owners: Sequence[str]) -> NDArray[np.float64]:
    """Columns of prototypes `(n, K)` summed to those of types `(n, T)`, in their order."""
    names = list(dict.fromkeys(owners))
    member = np.array([[owner == name for name in names] for owner in owners], dtype=np.float64)
    return values @ member
