"""Where the tiles of an image lie, and cutting them out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from normscape.errors import UsageError
from normscape.sections.model import TilingParams

CELLS = 32
"""Cells of the blended map per side of a tile: with tiles of 256 pixels, a cell is 8 x 8 pixels."""


@dataclass(frozen=True)
class Grid:
    """The tiles of one image.

    Tiles start on whole cells, so that their maps can be laid over each other without resampling.
    The last one of a line may therefore reach over the border by less than a cell; a tile of an
    image that is smaller than it by more.

    Attributes:
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        tile: Pixels per side of a tile.
        lefts: First column of the tiles of a row, ascending from 0.
        tops: First row of the tiles of a column, ascending from 0.
    """

    width: int
    height: int
    tile: int
    lefts: tuple[int, ...]
    tops: tuple[int, ...]

    @classmethod
    def of(cls, width: int, height: int, tiling: TilingParams) -> Grid:
        """The tiles of an image, each at least `tiling.overlap` of its side over its neighbour.

        Raises:
            UsageError: `tiling` does not cut images.
        """
        if tiling.tile is None:
            raise UsageError("tiling.tile is null; expected the pixels per side of a tile")
        starts = [_starts(length, tiling.tile, tiling.overlap) for length in (width, height)]
        return cls(width, height, tiling.tile, *starts)

    def __len__(self) -> int:
        return len(self.lefts) * len(self.tops)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Left and top of each tile, row by row."""
        return ((left, top) for top in self.tops for left in self.lefts)

    @property
    def cell(self) -> int:
        """Pixels per side of a cell of the blended map."""
        return self.tile // CELLS

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the blended map; the last ones may lie partly outside the image."""
        return math.ceil(self.height / self.cell), math.ceil(self.width / self.cell)

    def learned(self, sha256: str, count: int) -> dict[str, tuple[int, int]]:
        """Left and top of at most `count` tiles, drawn by hash, by the name of their features.

        Which ones depends on the image's bytes and the places alone: a larger count adds tiles
        and changes none.

        Args:
            sha256: Of the image file.
            count: At most so many.
        """
        keys = {_key(sha256, self.tile, left, top): (left, top) for left, top in self}
        return {key: keys[key] for key in sorted(keys)[:count]}


def cut(image: Image.Image, left: int, top: int, tile: int) -> Image.Image:
    """One tile `(tile, tile)` of a picture; what lies outside is mirrored at the border."""
    right, bottom = min(left + tile, image.width), min(top + tile, image.height)
    inside = image.crop((left, top, right, bottom))
    if inside.size == (tile, tile):
        return inside
    missing = ((0, tile - inside.height), (0, tile - inside.width), (0, 0))
    return Image.fromarray(np.pad(np.asarray(inside), missing, mode="symmetric"))


def _starts(length: int, tile: int, overlap: float) -> tuple[int, ...]:
    """First pixels of the tiles of a line, evenly spread over its cells."""
    cell = tile // CELLS
    last = math.ceil(max(length - tile, 0) / cell)
    stride = max(1, math.floor(CELLS * (1 - overlap)))
    steps = math.ceil(last / stride)
    return tuple(cell * (last * step // max(steps, 1)) for step in range(steps + 1))


def _key(sha256: str, tile: int, left: int, top: int) -> str:
    return hashlib.sha256(f"tile/1/{sha256}/{tile}/{left}/{top}".encode()).hexdigest()
