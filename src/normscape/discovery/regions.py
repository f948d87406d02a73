"""Where the defects of a set of images are: MEBin, main element binarisation of anomaly maps.

After AnomalyNCD (Huang et al., 2025): a map is cut at many thresholds; over the longest run of them
at which the eroded cut keeps one number of connected components, that number is the number of
defects. Where the paper normalises the maps between their extremes, the lower end is here the
median of the set: the level of normal surface is not zero in the maps of every detector. And a map
is cut in the middle of its run: its end is where regions have grown together with their noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from normscape.errors import DataError

SIDE = 256
"""Pixels per side of a map here; a map of another size or shape is resized, as images are."""

_THRESHOLDS = np.arange(255, -1, -4, dtype=np.float32)
_ERODE = 6  # pixels a side
_CONNECTED = np.ones((3, 3), dtype=bool)
_SHORTEST_RUN = 4
_HALF = 0.5

_STRIDE = 4  # of the pixels that the median of a set is taken from

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """What all maps of a category are measured by.

    Attributes:
        low: The level of normal surface: the median of the maps.
        high: The highest value.
    """

    low: float
    high: float

    @classmethod
    def of(cls, maps: Sequence[NDArray[np.floating]]) -> Level:
        """The level of some maps; without any of them, nothing is above it."""
        if not maps:
            return cls(0.0, 0.0)
        sample = np.concatenate([each[::_STRIDE, ::_STRIDE].ravel() for each in maps])
        return cls(float(np.median(sample)), float(max(each.max() for each in maps)))


@dataclass(frozen=True)
class Region:
    """One defect of an image.

    Attributes:
        area: Share of the image.
        peak: Row and column of its highest pixel.
        weight: `(SIDE, SIDE)` in [0, 1]: how much a pixel belongs to it; 1 at its peak, 0 nearer to
            another region.
        mask: `(SIDE, SIDE)`, as it was cut.
    """

    area: float
    peak: tuple[int, int]
    weight: Map
    mask: NDArray[np.bool_]


def square(values: NDArray[np.floating]) -> Map:
    """An anomaly map of any size as `(SIDE, SIDE)`.

    Raises:
        DataError: It is no map: not two-dimensional, empty, or not finite.
    """
    if values.ndim != 2 or not values.size:
        raise DataError(f"an anomaly map has the shape {values.shape}; expected (height, width)")
    plain = values.astype(np.float32)
    if not np.isfinite(plain).all():
        raise DataError("an anomaly map holds values that are not finite; score the image again")
    if plain.shape == (SIDE, SIDE):
        return plain
    return np.asarray(Image.fromarray(plain).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def find_regions(values: NDArray[np.floating], level: Level, most: int) -> list[Region]:
    """The regions of one map, the largest first.

    Args:
        values: `(SIDE, SIDE)` map.
        level: Of all maps of its category.
        most: At most so many; smaller ones are left out.

    Returns:
        None for a map that is the same everywhere. One around the peak where no number of
        components is stable.
    """
    values = values.astype(np.float32)
    floor, peak = float(np.median(values)), float(values.max())
    if not peak > floor:
        return []
    threshold = _threshold(values, level)
    if threshold is None:
        threshold = floor + _HALF * (peak - floor)
    labels, count = ndimage.label(values > threshold, _CONNECTED)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    chosen = np.argsort(-areas, kind="stable")[:most] + 1
    owner = _owners(np.where(np.isin(labels, chosen), labels, 0))
    excess = np.clip((values - floor) / (peak - floor), 0.0, 1.0)
    return [_region(excess, labels == label, owner == label) for label in chosen]


def _threshold(values: Map, level: Level) -> float | None:
    """Where to cut a map: in the middle of the longest run, or None without one."""
    span = level.high - level.low
    if not span > 0:
        return None
    scaled = (values - level.low) / span * 255
    # What is left of a cut after erosion is the cut of the map after erosion.
    eroded = ndimage.minimum_filter(scaled, _ERODE, mode="constant", cval=-np.inf)
    highest = float(eroded.max())
    counts = [
        int(ndimage.label(eroded > threshold, _CONNECTED)[1]) if threshold < highest else 0
        for threshold in _THRESHOLDS
    ]
    best, start = (0, 0), 0
    for end in range(1, len(counts) + 1):
        if end < len(counts) and counts[end] == counts[start]:
            continue
        if counts[start] and end - start > best[1] - best[0]:
            best = (start, end)
        start = end
    if best[1] - best[0] < _SHORTEST_RUN:
        return None
    middle = _THRESHOLDS[(best[0] + best[1] - 1) // 2]
    return float(level.low + middle / 255 * span)


def _owners(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each pixel the label of the nearest region."""
    nearest = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    owners: NDArray[np.int32] = labels[tuple(nearest)]
    return owners


def _region(excess: Map, mask: NDArray[np.bool_], own: NDArray[np.bool_]) -> Region:
    weight = np.where(own, excess, 0.0).astype(np.float32)
    row, column = np.unravel_index(int(np.where(mask, excess, -1.0).argmax()), excess.shape)
    return Region(
        area=float(mask.mean()),
        peak=(int(row), int(column)),
        weight=weight / max(float(weight.max()), 1e-6),
        mask=mask,
    )
