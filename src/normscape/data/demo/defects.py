"""Four kinds of defects drawn into a crop, each with the mask of the pixels it changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normscape.data.demo.draws import Draws
from normscape.data.demo.pixels import Grey, Share, blend, box_blur, clip
from normscape.data.demo.regions import CROP

_FINE = 4  # drawing happens on 4 by 4 points a pixel, so that edges are smooth
_COMPASS = ((16, 0), (11, 11), (0, 16), (-11, 11), (-16, 0), (-11, -11), (0, -16), (11, -11))
_HALF_WINDS = ((15, 6), (6, 15), (-6, 15), (-15, 6))  # directions of length 16, in between


@dataclass(frozen=True)
class Defect:
    """A crop with a defect.

    Attributes:
        pixels: Grey values (64, 64).
        mask: 255 where the defect covers at least a quarter of the pixel, else 0 (64, 64).
    """

    pixels: Grey
    mask: Grey


def scratch(pixels: Grey, draws: Draws, foreign: Grey) -> Defect:
    """A slightly bent line, 1.25 to 2.25 pixels wide, lighter or darker than what is around it."""
    del foreign
    rows, columns = _fine_grid()
    radius = draws.between(5, 9)
    inside = np.zeros((CROP * _FINE, CROP * _FINE), dtype=bool)
    for row, column in _bent_line(draws):
        inside |= (rows - row) ** 2 + (columns - column) ** 2 <= radius * radius
    share = _coverage(inside)
    contrast = draws.between(45, 65) + 2 * _roughness(pixels)
    target = box_blur(pixels, 4).astype(np.int64) + (contrast if draws.below(2) else -contrast)
    return _finish(blend(pixels, clip(target), share), share)


def stain(pixels: Grey, draws: Draws, foreign: Grey) -> Defect:
    """A soaked, soft-edged spot: darker and of less contrast, the texture still shows."""
    del foreign
    share = _coverage(_blob(draws, draws.between(13, 19)))
    soft = box_blur(np.minimum(share, 255), 2).astype(np.int64)
    soaked = (pixels.astype(np.int64) + 2 * box_blur(pixels, 3).astype(np.int64)) // 3
    soaked = soaked * draws.between(42, 56) // 100
    drawn = blend(pixels, clip(soaked), soft * 256 // 255)
    return _finish(drawn, soft)


def missing_patch(pixels: Grey, draws: Draws, foreign: Grey) -> Defect:
    """A piece broken out along straight edges: a smooth dark bed with a shadow on one side."""
    del foreign
    hole = _shard(draws, draws.between(9, 13))
    share = _coverage(hole)
    bed = box_blur(box_blur(pixels, 6), 6).astype(np.int64) * draws.between(52, 64) // 100
    bed += _noise(draws, CROP, 8, 12) - 6
    depth = draws.between(2, 3) * _FINE
    shadow = hole & ~np.roll(hole, (depth, depth), axis=(0, 1))
    bed = bed * (256 - _coverage(shadow) // 2) // 256
    return _finish(blend(pixels, clip(bed), share), share)


def foreign_texture(pixels: Grey, draws: Draws, foreign: Grey) -> Defect:
    """A piece of another photograph, somewhat lighter or darker on average than what it covers."""
    share = _coverage(_blob(draws, draws.between(12, 17)))
    covered = share >= 128
    count = int(covered.sum())
    here = int(pixels[covered].astype(np.int64).sum()) // count
    there = int(foreign[covered].astype(np.int64).sum()) // count
    shift = here - there + draws.between(15, 35) * (1 if draws.below(2) else -1)
    return _finish(blend(pixels, clip(foreign.astype(np.int64) + shift), share), share)


KINDS: dict[str, Callable[[Grey, Draws, Grey], Defect]] = {
    "scratch": scratch,
    "stain": stain,
    "missing_patch": missing_patch,
    "foreign_texture": foreign_texture,
}
"""Each takes the crop, a stream of draws, and a crop of another photograph."""


def _finish(drawn: Grey, share: Share) -> Defect:
    return Defect(drawn, np.where(share >= 64, 255, 0).astype(np.uint8))


def _roughness(pixels: Grey) -> int:
    """The mean distance of the pixels from their mean, in grey levels."""
    values = pixels.astype(np.int64)
    return int(np.abs(values - int(values.sum()) // values.size).sum()) // values.size


def _fine_grid() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the drawing points, in eighths of a pixel."""
    centres = 2 * np.arange(CROP * _FINE, dtype=np.int64) + 1
    return centres[:, None], centres[None, :]


def _coverage(inside: NDArray[np.bool_]) -> Share:
    """How much of each pixel (64, 64) the drawing points (256, 256) cover, 0 to 256."""
    points: Share = inside.reshape(CROP, _FINE, CROP, _FINE).sum(axis=(1, 3), dtype=np.int64)
    return points * (256 // (_FINE * _FINE))


def _centre(draws: Draws, radius: int) -> tuple[int, int]:
    """A place, in eighths of a pixel, that keeps a shape of `radius` pixels inside the crop."""
    low, high = radius + 4, CROP - radius - 4
    return draws.between(low, high) * 8, draws.between(low, high) * 8


def _bent_line(draws: Draws) -> list[tuple[int, int]]:
    """Points (row, column) on a shallow parabola through the middle, in eighths of a pixel."""
    down, right = draws.choice(_COMPASS[:4] + _HALF_WINDS)
    length = draws.between(24, 46) * 8
    bow = draws.between(-6, 6) * 8
    middle = [CROP * 4 + draws.between(-8, 8) * 8 for _ in range(2)]
    steps = 128
    points = []
    for step in range(steps + 1):
        along = length * (2 * step - steps) // (2 * steps)
        aside = bow * 4 * step * (steps - step) // (steps * steps)
        row = middle[0] + (down * along + right * aside) // 16
        column = middle[1] + (right * along - down * aside) // 16
        points.append((row, column))
    return points


def _blob(draws: Draws, radius: int) -> NDArray[np.bool_]:
    """A lobed spot: a disc whose radius is bent by smooth noise."""
    rows, columns = _fine_grid()
    row, column = _centre(draws, radius)
    distance = (rows - row) ** 2 + (columns - column) ** 2
    bound = (radius * 8) ** 2
    side = CROP * _FINE
    inside: NDArray[np.bool_] = distance < bound * (10 + _noise(draws, side, 32, 90)) // 100
    return inside


def _shard(draws: Draws, radius: int) -> NDArray[np.bool_]:
    """A convex polygon of up to eight uneven sides."""
    rows, columns = _fine_grid()
    row, column = _centre(draws, radius)
    inside = np.ones((CROP * _FINE, CROP * _FINE), dtype=bool)
    for down, right in _COMPASS:
        reach = radius * 8 * draws.between(55, 120) // 100
        inside &= (rows - row) * down + (columns - column) * right <= 16 * reach
    return inside


def _noise(draws: Draws, side: int, step: int, height: int) -> NDArray[np.int64]:
    """Smooth noise (side, side) from 0 to `height`: random knots every `step`, bilinear between."""
    knots = side // step + 1
    lattice = np.array(
        [[draws.between(0, height * 64) for _ in range(knots)] for _ in range(knots)],
        dtype=np.int64,
    )
    place = np.arange(side)
    cell, part = place // step, place % step
    rows = lattice[cell] * (step - part)[:, None] + lattice[cell + 1] * part[:, None]
    both = rows[:, cell] * (step - part) + rows[:, cell + 1] * part
    return np.asarray(both // (step * step * 64))
