"""What is known of the defects of one category: enough to assign a new image without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from normscape.discovery.describe import Described
from normscape.discovery.foreground import ObjectPrior
from normscape.discovery.mixture import Mixture
from normscape.discovery.regions import Level
from normscape.discovery.space import Array, Space, unit
from normscape.discovery.verdict import NOTHING, RegionVerdict, Verdict
from normscape.discovery.vote import vote


@dataclass(frozen=True)
class Placed:
    """Images on the sphere.

    Attributes:
        shown: `(N,)`: whether the image has a region at all.
        points: `(M, D)` unit vectors of those that have.
        views: `(R, V, D)` unit vectors of the views of all their regions.
        areas: Of the regions of each of the M images.
        peaks: `(R, 2)` of all their regions, as in `Described`.
    """

    shown: NDArray[np.bool_]
    points: Array
    views: Array
    areas: tuple[NDArray[np.float32], ...]
    peaks: NDArray[np.float32]

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
        if not seen:
            one = np.empty((0, len(space.projection)), np.float32)
            return cls(shown, one, one[:, None], (), np.empty((0, 2), np.float32))
        views = space.views(seen)[:, :most]
        areas = tuple(each.areas for each in seen)
        peaks = np.concatenate([each.peaks for each in seen])
        return cls(shown, unit(vote(areas, unit(views.mean(1)))), views, areas, peaks)


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

    def p_values(self, points: Array, known: Array) -> NDArray[np.float64]:
        """Conformal p-values of being of a known kind, never below 1/(n+1).

        Args:
            points: `(M, D)` of the images.
            known: `(P, D)` of images whose kind is known.
        """
        return self.chances((points @ known.T).max(1, initial=-1.0))

    def chances(self, cosines: NDArray[np.floating]) -> NDArray[np.float64]:
        """The p-values of cosines to the nearest image of a known kind."""
        lower = np.searchsorted(self.fits, cosines, side="right")
        return np.asarray((1 + lower) / (1 + len(self.fits)), dtype=np.float64)

    def judge(self, placed: Placed, known: Array, alpha: float) -> list[Verdict]:
        """A verdict on each of the N images.

        Args:
            placed: The images in this space.
            known: `(P, D)` of images whose kind is known.
            alpha: p-value below which an image, or a region, belongs to no known type.
        """
        if not len(placed.points):
            return [NOTHING for _ in placed.shown]
        chances = self.p_values(placed.points, known)
        parts = self.p_values(unit(placed.views.mean(1)), known)
        names = [self.owners[k] for k in self.mixture.nearest(placed.points)]
        return self.verdicts(placed, names, chances, fits=chances >= alpha, parts=parts >= alpha)

    def verdicts(
        self,
        placed: Placed,
        names: Sequence[str],
        chances: NDArray[np.float64],
        *,
        fits: NDArray[np.bool_],
        parts: NDArray[np.bool_],
    ) -> list[Verdict]:
        """Put into words what was found of each of the N images, at least one with a region.

        Args:
            placed: The images in this space.
            names: The type of each of the M images that show a region.
            chances: `(M,)` their p-values.
            fits: `(M,)`: whether they are of a known kind.
            parts: `(R,)`: the same of their regions.
        """
        regions, views, dimensions = placed.views.shape
        posterior = self.mixture.posterior(placed.views.reshape(-1, dimensions))
        beliefs = by_type(posterior, self.owners).reshape(regions, views, -1).mean(1)
        found = iter(self._regions(placed, beliefs, parts))
        columns = {name: column for column, name in enumerate(self.types)}
        whole = vote(placed.areas, beliefs)
        verdicts = (
            Verdict(
                name if fit else None, round(float(row[columns[name]]), 4) if fit else 0.0,
                round(float(p), 5), name, tuple(islice(found, len(areas))),
            )
            for name, row, p, fit, areas in zip(
                names, whole, chances, fits, placed.areas, strict=True
            )
        )  # fmt: skip
        return [next(verdicts) if shown else NOTHING for shown in placed.shown]

    def _regions(
        self, placed: Placed, beliefs: NDArray[np.float64], fits: NDArray[np.bool_]
    ) -> list[RegionVerdict]:
        nearest = self.mixture.nearest(unit(placed.views.mean(1)))
        columns = {name: column for column, name in enumerate(self.types)}
        areas = np.concatenate(placed.areas)
        return [
            RegionVerdict(
                round(float(x), 4), round(float(y), 4), round(float(area), 5),
                self.owners[k] if fit else None,
                round(float(row[columns[self.owners[k]]]), 4) if fit else 0.0,
            )
            for (y, x), area, k, row, fit in zip(
                placed.peaks, areas, nearest, beliefs, fits, strict=True
            )
        ]  # fmt: skip


def by_type(values: NDArray[np.float64], owners: Sequence[str]) -> NDArray[np.float64]:
    """Columns of prototypes `(n, K)` summed to those of types `(n, T)`, in their order."""
    names = list(dict.fromkeys(owners))
    member = np.array([[owner == name for name in names] for owner in owners], dtype=np.float64)
    return values @ member
