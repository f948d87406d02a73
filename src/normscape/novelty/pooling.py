"""From level maps to what describes an image as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from normscape.backbones import LevelShape

SIDE = 4
"""Regions per side of an image."""

_FLOAT16_MAX = 65504.0
_LOWER_MEDIAN = (SIDE**2 - 1) // 2


def rounded(maps: Sequence[Tensor]) -> list[Tensor]:
    """Level maps as the feature store rounds them, so that cached and fresh features agree."""
    return [level.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().float() for level in maps]


class RegionPooling(nn.Module):
    """Means of each channel over `SIDE`² regions, all levels side by side.

    Written as one matrix product a level, which every exported format computes alike.

    Args:
        shapes: `(C, H, W)` of each level.
    """

    def __init__(self, shapes: Sequence[LevelShape]) -> None:
        super().__init__()
        self.shapes = tuple(shapes)
        for level, (_, height, width) in enumerate(self.shapes):
            self.register_buffer(f"weights_{level}", _averages(height, width), persistent=False)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each level; their sum is D."""
        return tuple(shape[0] for shape in self.shapes)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """`(B, SIDE², D)` of rounded level maps `(B, C_l, H_l, W_l)`."""
        means = [
            features.flatten(2) @ self.get_buffer(f"weights_{level}")
            for level, features in enumerate(maps)
        ]
        return torch.cat(means, dim=1).transpose(1, 2)


def mean_of(regions: Tensor) -> Tensor:
    """Global average `(B, D)` of regions `(B, R, D)`."""
    return regions.mean(dim=1)


def median_of(regions: Tensor) -> Tensor:
    """Median over the regions, `(B, D)`: blind to a defect in less than half of them."""
    return regions.sort(dim=1).values[:, _LOWER_MEDIAN]  # few runtimes have a median


def _averages(height: int, width: int) -> Tensor:
    """`(height · width, SIDE²)`: what each position counts for in the mean of each region."""
    positions = torch.eye(height * width).view(-1, 1, height, width)
    return functional.adaptive_avg_pool2d(positions, SIDE).flatten(1)
