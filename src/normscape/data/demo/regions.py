"""Crops of one photograph: every region of it belongs to one role, so no pixel is seen twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from normscape.data.demo.draws import Draws, hash_order
from normscape.data.demo.pixels import Grey

GRID = 7
"""Regions per side of a photograph."""

REGION = 73
"""Side of a region in pixels; 7 * 73 = 511 of 512."""

CROP = 64
"""Side of a crop in pixels; it lies anywhere inside its region."""

_Place = tuple[int, int, int, int, int]  # region, rows down, columns right, upside down, mirrored


@dataclass(frozen=True)
class Crop:
    """A piece of a photograph.

    Attributes:
        name: `<texture>-r<row><column>-<number>`, the region's row and column from 1 to 7; the part
            before the number is its group.
        pixels: Grey values (64, 64).
    """

    name: str
    pixels: Grey


def roles(shares: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Deal the 49 regions out by a Latin square: each number 0 to 6 once in every row and column.

    So each role sees the near and the far side, the light and the dark corner of the photograph.

    Args:
        shares: The numbers of the square that belong to each role.

    Returns:
        The regions of each role, 7 for every number it holds.
    """
    numbers = {
        row * GRID + column: (2 * row + 3 * column) % GRID
        for row in range(GRID)
        for column in range(GRID)
    }
    return {
        role: tuple(region for region, number in numbers.items() if number in mine)
        for role, mine in shares.items()
    }


class Cropper:
    """Takes crops from one photograph; no two are the same.

    Args:
        texture: The name of the photograph.
        photograph: Grey values (512, 512).
        regions: The regions of each role.
    """

    def __init__(
        self, texture: str, photograph: Grey, regions: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.texture = texture
        self._photograph = photograph
        self._regions = regions
        self._taken: set[_Place] = set()

    def take(self, role: str, purpose: str, count: int) -> list[Crop]:
        """Return `count` new crops that visit the regions of `role` in turn."""
        regions = hash_order(f"{self.texture}/{purpose}", self._regions[role])
        draws = Draws(self.texture, purpose)
        return [self._crop(regions[index % len(regions)], draws) for index in range(count)]

    def piece(self, role: str, draws: Draws) -> Grey:
        """Return pixels (64, 64) from a region of `role` to be put into another photograph."""
        regions = self._regions[role]
        return self._cut((regions[draws.below(len(regions))], *_placement(draws)))

    def _crop(self, region: int, draws: Draws) -> Crop:
        while (place := (region, *_placement(draws))) in self._taken:
            pass
        self._taken.add(place)
        row, column = divmod(region, GRID)
        name = f"{self.texture}-r{row + 1}{column + 1}-{len(self._taken) - 1:03d}"
        return Crop(name, self._cut(place))

    def _cut(self, place: _Place) -> Grey:
        region, down, right, upside_down, mirrored = place
        top = region // GRID * REGION + down
        left = region % GRID * REGION + right
        pixels = self._photograph[top : top + CROP, left : left + CROP]
        return np.ascontiguousarray(pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1])


def _placement(draws: Draws) -> tuple[int, int, int, int]:
    free = REGION - CROP + 1
    return draws.below(free), draws.below(free), draws.below(2), draws.below(2)
