"""The hypersphere on which regions of one kind lie together.

The frozen features of a category's regions are standardised by the statistics of its normal
surroundings, projected on their principal components, and whitened by what varies between the views
of one and the same region: position in the crop, turn, distance and light are noise, and directions
in which they move a region count less. That is the closed form of what a linear contrastive head
learns from such views. Each view is then put on the sphere, and a region is the mean direction of
its views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normscape.discovery.describe import Described

_FLOOR = 0.1
_TINY = 1e-6

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """From features to the sphere; of one category.

    Attributes:
        centre: `(C,)`, subtracted from features.
        projection: `(D, C)`, with which the rest is multiplied.
        surroundings: Share of the surroundings that is subtracted.
    """

    centre: Array
    projection: Array
    surroundings: float

    @classmethod
    def fit(
        cls,
        described: Sequence[Described],
        levels: Sequence[int],
        *,
        dimensions: int,
        surroundings: float,
    ) -> Space:
        """Learn the space of a category.

        Args:
            described: Together at least one region; all regions with as many views.
            levels: Channels of each level of the backbone; each level counts equally.
            dimensions: At most so many.
            surroundings: Share of the surroundings that is subtracted.
        """
        own, around = _stacked(described)
        values = own - surroundings * around
        normal = around.mean((0, 1)) * (1.0 - surroundings)
        scale = _balance((values - normal) / (around.std((0, 1)) + 1e-4), levels)
        scale /= around.std((0, 1)) + 1e-4
        centre = values.mean((0, 1))
        scaled = (values - centre) * scale
        components = _components(scaled, min(dimensions, max(len(scaled) - 1, 1)))
        projection = _whitening(scaled @ components.T) @ components * scale
        return cls(centre.astype(np.float32), projection.astype(np.float32), surroundings)

    def views(self, described: Sequence[Described]) -> Array:
        """Unit vectors `(R, V, D)` of the views of all regions of some images, in their order."""
        own, around = _stacked(described)
        return unit((own - self.surroundings * around - self.centre) @ self.projection.T)

    def embed(self, described: Sequence[Described]) -> Array:
        """Unit vectors `(R, D)` of all regions of some images, in their order."""
        return unit(self.views(described).mean(1))


def unit(vectors: NDArray[np.floating]) -> Array:
    """Vectors of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Array = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def nearest_other(points: Array, seen: Array | None = None) -> NDArray[np.float64]:
    """`(n,)`: cosine of each unit vector to the nearest other one; -1 for one that is alone.

    Args:
        points: `(n, D)`.
        seen: `(n, D)`: the same images, seen otherwise, that are compared with `points`.
    """
    cosines = ((points if seen is None else seen) @ points.T).astype(np.float64)
    np.fill_diagonal(cosines, -1.0)
    return np.asarray(cosines.max(1))


def _stacked(described: Sequence[Described]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    own = np.concatenate([each.features for each in described]).astype(np.float64)
    around = np.concatenate([each.surroundings for each in described]).astype(np.float64)
    return own, around


def _balance(values: NDArray[np.float64], levels: Sequence[int]) -> NDArray[np.float64]:
    """A factor for each channel: after it every level has the same mean square."""
    squares = (values**2).mean((0, 1))
    parts = np.split(squares, np.cumsum(levels)[:-1])
    factors = [1.0 / np.sqrt(max(float(part.sum()), 1e-12)) for part in parts]
    return np.repeat(factors, levels)


def _components(scaled: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The principal components `(count or fewer, C)` of `(R, V, C)`."""
    flat = scaled.reshape(-1, scaled.shape[-1])
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    kept = [index for index in np.argsort(-values)[:count] if values[index] > _TINY * values[-1]]
    return vectors[:, kept or [-1]].T


def _whitening(projected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides each direction by how much the views of one region differ in it."""
    within = (projected - projected.mean(1, keepdims=True)).reshape(-1, projected.shape[-1])
    values, vectors = np.linalg.eigh(within.T @ within / len(within))
    if not values.mean() > 0:
        return np.eye(len(values))
    floored = np.maximum(values, _FLOOR * values.mean())
    whitening: NDArray[np.float64] = (vectors / np.sqrt(floored)).T
    return whitening
