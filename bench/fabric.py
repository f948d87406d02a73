"""Pictures of a woven fabric of any size, and pits in it that vanish when it is scaled down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
"""`(side, side, 3)`."""

_THREAD = 32  # pixels


def fabric(seed: int, side: int) -> Picture:
    """Threads of 32 pixels that cross, unevenly lit, with the camera's noise."""
    generator = np.random.default_rng(seed)
    place = np.arange(side, dtype=np.float32)
    light = 100 + 8 * np.sin(place / side * 5 + generator.uniform(0, 6))
    turn = 2 * np.pi / _THREAD
    warp, weft = (np.sin(place * turn + shift) for shift in generator.uniform(0, 6, 2))
    grey = 6 * generator.standard_normal((side, side), dtype=np.float32)
    grey += (light + 25 * weft).astype(np.float32)[:, None] + (25 * warp).astype(np.float32)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def spoil(picture: Picture, x: int, y: int, size: int) -> Picture:
    """A copy with a pit of `size` pixels whose middle is at column x, row y.

    It is dark inside and bright around, so that it is as bright as its surroundings on average:
    scaled down to less than a pixel, nothing is left of it.
    """
    spoiled = picture.copy()
    top, left = max(0, y - size), max(0, x - size)
    part = spoiled[top : y + size + 1, left : x + size + 1]
    rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
    distance = (rows + top - y) ** 2 + (columns + left - x) ** 2
    values = part.astype(np.int16)
    values[distance <= size**2 / 4] += 80
    values[distance <= size**2 / 8] -= 160
    part[:] = values.clip(0, 255)
    return spoiled


def write(path: Path, picture: Picture) -> Path:
    """Save a picture, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, compress_level=1)
    return path
