"""A smooth anomaly map made as sharp as what surprises inside it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_GRAIN = 1 / 128
"""Standard deviation of the smoothing of the surprise, in sides of the image."""

_REACH = 1 / 8
"""That of the neighbourhood in which map and surprise are compared."""

_REGULAR = 0.1  # of the variance of the surprise, which is 1 over the image
_HIGHEST = 10.0
_RADIUS = 4.0
_TINY = 1e-12


class Fusion(nn.Module):
    """Follows the surprise where the map does: a guided filter that sharpens.

    With `b` the logarithm of the map and `z` the standardised root of the surprise, both are
    compared around every pixel (Gaussian means `⟨·⟩`): `a = max(0, cov(z, b)) / (var(z) + ε)` is
    how much the map rises with the surprise there. The map is multiplied by `exp(λ a (z - ⟨z⟩))`.
    Where the surprise has nothing to do with the map, as in a texture that nobody can inpaint,
    `a` is 0 and the map stays as it is. In the end the map is as high as it was: the mean of its
    highest share is the same.

    Args:
        map_size: Pixels per side of a map.
        size: Of the surprise.
        strength: λ.
        top_fraction: The highest share.

    Source:
        The local linear model is that of He et al., Guided Image Filtering, ECCV 2010.
    """

    smooth: Tensor
    near: Tensor
    shrink: Tensor
    grow: Tensor

    def __init__(self, map_size: int, size: int, strength: float, top_fraction: float) -> None:
        super().__init__()
        self.strength = strength
        self.count = max(1, round(top_fraction * size**2))
        self.register_buffer("smooth", _gaussian(size, _GRAIN * size), persistent=False)
        self.register_buffer("near", _gaussian(size, _REACH * size), persistent=False)
        self.register_buffer("shrink", averages(map_size, size), persistent=False)
        self.register_buffer("grow", _lines(size, map_size), persistent=False)

    def forward(self, maps: Tensor, surprise: Tensor) -> Tensor:
        """Maps `(B, M, M)`, positive, made sharper by the surprise `(B, S, S)`."""
        base = self.shrink @ maps @ self.shrink.T
        levels, guide = base.clamp_min(_TINY).log(), self._guide(surprise)
        middle, level = self._mean(guide), self._mean(levels)
        rise = (self._mean(guide * levels) - middle * level).clamp_min(0.0)
        spread = (self._mean(guide.square()) - middle.square()).clamp_min(0.0) + _REGULAR
        change = self.strength * rise / spread * (guide - middle)
        height = self._top(base) / self._top(base * change.exp()).clamp_min(_TINY)
        sharp: Tensor = maps * (self.grow @ change @ self.grow.T).exp() * height
        return sharp

    def _guide(self, surprise: Tensor) -> Tensor:
        root = (self.smooth @ surprise @ self.smooth.T).clamp_min(_TINY).sqrt()
        middle = root.mean(dim=(1, 2), keepdim=True)
        spread = (root - middle).square().mean(dim=(1, 2), keepdim=True).sqrt()
        return ((root - middle) / spread.clamp_min(_TINY)).clamp(max=_HIGHEST)

    def _mean(self, values: Tensor) -> Tensor:
        return self.near @ values @ self.near.T

    def _top(self, values: Tensor) -> Tensor:
        highest = values.flatten(1).topk(self.count, dim=1, sorted=False).values
        return highest.mean(dim=1).view(-1, 1, 1)


def averages(size: int, fewer: int) -> Tensor:
    """The matrix `(fewer, size)` that averages a line over equal parts."""
    return functional.adaptive_avg_pool1d(torch.eye(size).unsqueeze(1), fewer)[:, 0].T.contiguous()


def _lines(size: int, more: int) -> Tensor:
    """The matrix `(more, size)` that resizes a line linearly."""
    lines = torch.eye(size).unsqueeze(1)
    return functional.interpolate(lines, size=more, mode="linear")[:, 0].T.contiguous()


def _gaussian(size: int, sigma: float) -> Tensor:
    """The matrix `(size, size)` that smooths a line, reflected at its ends."""
    radius = min(math.ceil(_RADIUS * sigma), size - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    lines = torch.eye(size, dtype=torch.float64).unsqueeze(1)
    padded = functional.pad(lines, (radius, radius), mode="reflect")
    smooth = functional.conv1d(padded, (kernel / kernel.sum()).view(1, 1, -1))
    return smooth.squeeze(1).T.float().contiguous()
