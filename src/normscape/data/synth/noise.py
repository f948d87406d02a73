"""Smooth random fields, in the picture's frame and at any coordinates."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""One value a pixel (H, W)."""

_KNOTS = 64


def grid_noise(rng: Generator, size: int, cells: tuple[float, float], octaves: int = 1) -> Field:
    """Return value noise (size, size) of mean 0, within about ±1.

    Args:
        rng: Gives the random knots; their number does not depend on `size`.
        size: Pixels per side.
        cells: Knots down and across the picture; unequal numbers make streaks.
        octaves: Each further one has twice the knots and half the amplitude.
    """
    total = np.zeros((size, size), dtype=np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        down, across = (max(1, round(count)) for count in cells)
        knots = rng.uniform(-amplitude, amplitude, (down + 1, across + 1)).astype(np.float32)
        total += _stretch(_stretch(knots, size).T, size).T
        cells = (cells[0] * 2, cells[1] * 2)
        amplitude /= 2
    return total


def noise_at(rng: Generator, x: Field, y: Field, octaves: int = 1) -> Field:
    """Return value noise of mean 0, within about ±1, at coordinates in knots; it repeats at 64.

    Args:
        rng: Gives the random knots.
        x: Column coordinates of any shape.
        y: Row coordinates of the same shape.
        octaves: Each further one has twice the frequency and half the amplitude.
    """
    total = np.zeros_like(x)
    for octave in range(octaves):
        knots = rng.uniform(-1.0, 1.0, (_KNOTS, _KNOTS)).astype(np.float32) / 2**octave
        column, right = _split(x * 2**octave)
        row, down = _split(y * 2**octave)
        first, second = row % _KNOTS * _KNOTS, (row + 1) % _KNOTS * _KNOTS
        left, next_left = column % _KNOTS, (column + 1) % _KNOTS
        flat = knots.ravel()
        above = flat[first + left] * (1 - right) + flat[first + next_left] * right
        below = flat[second + left] * (1 - right) + flat[second + next_left] * right
        total += above * (1 - down) + below * down
    return total


def cell_distances(
    rng: Generator, x: Field, y: Field, jitter: float
) -> tuple[Field, Field, NDArray[np.int64]]:
    """Return the distances to the nearest and second nearest of jittered lattice points.

    Args:
        rng: Gives the jitter of the points.
        x: Column coordinates in lattice units.
        y: Row coordinates in lattice units.
        jitter: 0 for a square lattice, 1 for fully irregular cells.

    Returns:
        Nearest and second nearest distance, and a number 0 to 4095 that names the nearest point.
    """
    offsets = (rng.uniform(-0.5, 0.5, (2, _KNOTS * _KNOTS)) * jitter).astype(np.float32)
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    nearest = np.full_like(x, 9.0)
    second = np.full_like(x, 9.0)
    owner = np.zeros(x.shape, dtype=np.int64)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            name = (row + down) % _KNOTS * _KNOTS + (column + right) % _KNOTS
            across = (column + right).astype(np.float32) + 0.5 + offsets[0][name] - x
            along = (row + down).astype(np.float32) + 0.5 + offsets[1][name] - y
            distance = across * across + along * along
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            owner = np.where(closer, name, owner)
            nearest = np.minimum(nearest, distance)
    return np.sqrt(nearest), np.sqrt(second), owner


def _stretch(knots: Field, size: int) -> Field:
    """Interpolate the first axis to `size` values, with smooth steps."""
    place = (np.arange(size, dtype=np.float32) + 0.5) * ((len(knots) - 1) / size)
    cell = np.minimum(place.astype(np.int64), len(knots) - 2)
    share = _smooth(place - cell.astype(np.float32))[:, None]
    stretched: Field = knots[cell] * (1 - share) + knots[cell + 1] * share
    return stretched


def _split(place: Field) -> tuple[NDArray[np.int64], Field]:
    floor = np.floor(place)
    return floor.astype(np.int64), _smooth(place - floor)


def _smooth(share: Field) -> Field:
    return share * share * (3 - 2 * share)
