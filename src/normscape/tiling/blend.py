"""One map from the maps of overlapping tiles, and the score of its image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from normscape.tiling.grid import CELLS, Grid


class Blend:
    """Sums tile maps with weights that are one together in every cell.

    A tile's weight falls from its middle to its border like a raised cosine (Hann), divided by
    the sum over all tiles. Both factors are products over rows and columns, so no map of weights
    is needed. Where one tile lies alone, its weight is 1.

    Args:
        grid: The tiles of the image.

    Attributes:
        map: `(rows, columns)` float32, complete when every tile was added.
    """

    def __init__(self, grid: Grid) -> None:
        self.map: NDArray[np.float32] = np.zeros(grid.shape, dtype=np.float32)
        self._rows = _weights([top // grid.cell for top in grid.tops], grid.shape[0])
        self._columns = _weights([left // grid.cell for left in grid.lefts], grid.shape[1])

    def add(self, number: int, values: NDArray[np.float32]) -> None:
        """Add the map `(CELLS, CELLS)` of the tile with this number in the grid's order."""
        row, column = divmod(number, len(self._columns))
        top, down = self._rows[row]
        left, across = self._columns[column]
        weighted = values[: len(down), : len(across)] * np.outer(down, across)
        self.map[top : top + len(down), left : left + len(across)] += weighted.astype(np.float32)

    def score(self, top_fraction: float) -> float:
        """The mean of the highest cells: as many as `top_fraction` of *one* tile has.

        So a defect weighs the same in an image of one tile and in one of a thousand.
        """
        count = min(max(1, round(top_fraction * CELLS**2)), self.map.size)
        highest = np.partition(self.map, -count, axis=None)[-count:]
        return float(highest.mean(dtype=np.float64))


def _weights(starts: list[int], length: int) -> list[tuple[int, NDArray[np.float64]]]:
    """First cell and weights of each tile along one axis; cells outside are left out."""
    window = np.sin(np.pi * (np.arange(CELLS) + 0.5) / CELLS) ** 2
    inside = [window[: length - start] for start in starts]
    total = np.zeros(length)
    for start, part in zip(starts, inside, strict=True):
        total[start : start + len(part)] += part
    return [
        (start, part / total[start : start + len(part)])
        for start, part in zip(starts, inside, strict=True)
    ]
