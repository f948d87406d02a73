"""What is hidden from the inpainting model: complementary grids and, while it learns, blobs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_BLOBS = (8, 16, 32)  # pixels between the random values that blobs are made of
_BLOB_LEVEL = 0.7
_WITH_BLOBS = 3  # every so many masks, on average


def grids(size: int, cells: tuple[int, ...]) -> Tensor:
    """Two complementary chequered grids for each size of cells: every pixel is hidden once a size.

    Args:
        size: Pixels per side.
        cells: Pixels per side of a cell.

    Returns:
        `(2 · sizes, 1, size, size)`, 1 = hidden; the two of one size follow each other.
    """
    odd = [_chequered(size, cell, cell // 2, cell // 2) for cell in cells]
    return torch.stack([mask for grid in odd for mask in (grid, 1.0 - grid)]).unsqueeze(1)


def random_mask(size: int, cells: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A mask `(1, size, size)` to learn with: a grid anywhere, now and then blobs on it."""

    def below(limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=generator))

    cell = cells[below(len(cells))]
    mask = _chequered(size, cell, below(2 * cell), below(2 * cell))
    if below(_WITH_BLOBS) == 0:
        count = size // _BLOBS[below(len(_BLOBS))] + 2
        coarse = torch.randn(1, 1, count, count, generator=generator)
        smooth = functional.interpolate(coarse, size=(size, size), mode="bicubic")[0, 0]
        mask = torch.maximum(mask, (smooth > _BLOB_LEVEL).float())
    return mask.unsqueeze(0)


def _chequered(size: int, cell: int, top: int, left: int) -> Tensor:
    rows, columns = (torch.arange(size) + top) // cell, (torch.arange(size) + left) // cell
    return ((rows.unsqueeze(1) + columns) % 2).float()
