"""From token scores to anomaly maps and one score per image: one rule for every detector."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from normscape.params import MapParams

_GAUSSIAN_RADIUS = 4.0


def finish_maps(grid: Tensor, maps: MapParams) -> tuple[Tensor, Tensor]:
    """Upsample token scores to pixels, smooth them, and take the mean of the highest share.

    Bilinear resizing and Gaussian smoothing (reflected at the border) are linear and separable:
    both are one matrix `A`, and the map is `A G Aᵀ`.

    Args:
        grid: `(B, N)` token scores, N a square number, row by row.
        maps: Size, smoothing and top share.

    Returns:
        Maps `(B, S, S)` and image scores `(B,)`, raw: neither clamped nor rescaled.
    """
    side = math.isqrt(grid.shape[1])
    operator = _operator(side, maps.size, maps.smoothing).to(grid)
    pixels = operator @ grid.view(-1, side, side) @ operator.T
    count = max(1, round(maps.top_fraction * maps.size**2))
    return pixels, pixels.flatten(1).topk(count, dim=1).values.mean(dim=1)


@lru_cache(maxsize=8)
def _operator(side: int, size: int, sigma: float) -> Tensor:
    """The matrix `(size, side)` that resizes a line of `side` values and smooths it."""
    lines = functional.interpolate(
        torch.eye(side, dtype=torch.float64).unsqueeze(1),
        size=size,
        mode="linear",
        align_corners=False,
    )
    if sigma > 0:
        radius = min(math.ceil(_GAUSSIAN_RADIUS * sigma), size - 1)
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        padded = functional.pad(lines, (radius, radius), mode="reflect")
        lines = functional.conv1d(padded, (kernel / kernel.sum()).view(1, 1, -1))
    return lines.squeeze(1).T.float().contiguous()
