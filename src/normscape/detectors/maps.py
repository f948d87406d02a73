"""From token scores to anomaly maps and one score per image: one rule for every detector."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from normscape.sections.model import MapParams

_GAUSSIAN_RADIUS = 4.0
_PER_TOKEN = 4
_TINY = 1e-12


def finish_maps(tokens: Tensor, maps: MapParams) -> tuple[Tensor, Tensor]:
    """Upsample token scores to pixels, smooth them, and take the mean of the highest share.

    Bilinear resizing and Gaussian smoothing (reflected at the border) are linear and separable:
    both are one matrix `A`, and the smooth map is `A G Aᵀ`. The image score is made of the first
    token score; the map has the shape of the second, scaled so that the mean of its highest share
    is the image score. So an image's map is as high as the image is anomalous, and where it is
    high follows by how much the tokens differ.

    Means of the highest share are those of the same map with four positions a token and side, as
    smooth as it is: sorting every pixel would cost as much as finding the prototypes.

    Args:
        tokens: `(B, N, 2)` token scores, positive, N a square number, row by row.
        maps: Size, smoothing and top share.

    Returns:
        Maps `(B, S, S)` and image scores `(B,)`, raw: neither clamped nor put on a common scale.
    """
    side = math.isqrt(tokens.shape[1])
    unusual, extent = tokens.view(-1, side, side, 2).unbind(-1)
    score = _top(unusual, maps)
    operator = _operator(side, maps.size, maps.smoothing).to(tokens)
    shape = operator @ extent @ operator.T
    height = score / _top(extent, maps).clamp_min(_TINY)
    return shape * height.view(-1, 1, 1), score


def _top(grid: Tensor, maps: MapParams) -> Tensor:
    """The mean `(B,)` of the highest share of the map of a grid `(B, side, side)`."""
    size = min(maps.size, _PER_TOKEN * grid.shape[1])
    operator = _operator(grid.shape[1], size, maps.smoothing * size / maps.size).to(grid)
    count = max(1, round(maps.top_fraction * size**2))
    highest = (operator @ grid @ operator.T).flatten(1).topk(count, dim=1, sorted=False)
    return highest.values.mean(dim=1)


@lru_cache(maxsize=8)
@torch.inference_mode(mode=False)  # it is kept, and an export may need it after a scorer did
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
