"""A smooth anomaly map made as sharp as the inpainting errors inside it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GUIDES = 4
"""The errors of three colours with their sign, and how surprising the error is."""

_GRAIN = 1 / 128
"""Standard deviation of the smoothing of the errors, in sides of the image."""

_REACH = 3 / 16
"""That of the neighbourhood in which map and errors are compared."""

_COARSE = 3 / 32
"""That of the smoothing of maps in which there is little to see."""

_UNREST = 0.1
"""Standard deviation of the logarithm of a map around its mean where there is nothing to see."""

_RIDGE = 0.1  # of the variance of a guide, which is 1 over the image
_LEAST = 1e-3  # of the mean surprise: less spread than this is no guide
_HIGHEST = 10.0
_RADIUS = 4.0
_TINY = 1e-12


class Fusion(nn.Module):
    """Follows the errors where the map does, a guided filter, and smooths what is only noise.

    With `b` the logarithm of the map and `g` the errors, the guides, a linear model is fitted
    around every pixel (`⟨·⟩`: Gaussian mean around it): `a = (cov(g, g) + ε)⁻¹ cov(g, b)` says how
    the map goes with the errors there. The refined map is

        exp(⟨b⟩ + w (b - ⟨b⟩) + λ aᵀ (g - ⟨g⟩)),   w = v / (v + σ²),   v = ⟨(b - ⟨b⟩)²⟩

    Where the errors have nothing to do with the map, as in a texture that nobody can inpaint, `a`
    is near 0. Where the map hardly varies, `w` is, and it becomes smoother. The mean of `w` is
    taken over a nearer neighbourhood than that of `a`.

    Args:
        map_size: Pixels per side of a map.
        size: Of the errors.
        strength: λ.

    Source:
        The local linear model is that of He et al., Guided Image Filtering, ECCV 2010, eq. 14; `w`
        that of Lee, Digital Image Enhancement and Noise Filtering by Use of Local Statistics, 1980.
    """

    grain: Tensor
    near: Tensor
    coarse: Tensor
    shrink: Tensor
    grow: Tensor

    def __init__(self, map_size: int, size: int, strength: float) -> None:
        super().__init__()
        self.strength = strength
        for name, share in (("grain", _GRAIN), ("near", _REACH), ("coarse", _COARSE)):
            self.register_buffer(name, _gaussian(size, share * size), persistent=False)
        self.register_buffer("shrink", averages(map_size, size), persistent=False)
        self.register_buffer("grow", _lines(size, map_size), persistent=False)

    def forward(self, maps: Tensor, errors: Tensor) -> Tensor:
        """Maps `(B, M, M)`, positive, refined with errors `(B, GUIDES, S, S)`."""
        levels = _both(self.shrink, maps).clamp_min(_TINY).log()
        guides = list(self.guides(errors).unbind(dim=1))
        middles, level = [self._mean(guide) for guide in guides], self._mean(levels)
        matrix = [
            [
                self._mean(one * other) - middle * beside + (_RIDGE if row == column else 0.0)
                for column, (other, beside) in enumerate(zip(guides, middles, strict=True))
            ]
            for row, (one, middle) in enumerate(zip(guides, middles, strict=True))
        ]
        rises = [
            self._mean(guide * levels) - middle * level
            for guide, middle in zip(guides, middles, strict=True)
        ]
        fine = levels - _both(self.coarse, levels)
        power = _both(self.coarse, fine.square())
        change = fine * (power / (power + _UNREST**2) - 1.0)
        for slope, guide, middle in zip(solve(matrix, rises), guides, middles, strict=True):
            change = change + self.strength * slope * (guide - middle)
        refined: Tensor = maps * _both(self.grow, change).exp()
        return refined

    def guides(self, errors: Tensor) -> Tensor:
        """The errors smoothed and on one scale in every image, `(B, GUIDES, S, S)`."""
        smooth = _both(self.grain, errors)
        colours, surprise = smooth[:, :-1], smooth[:, -1:].clamp_min(_TINY).sqrt()
        size = colours.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        middle = surprise.mean(dim=(2, 3), keepdim=True)
        apart = (surprise - middle).square().mean(dim=(2, 3), keepdim=True).sqrt()
        spread = torch.maximum(apart, _LEAST * middle)
        both = torch.cat([colours / size.clamp_min(_TINY), (surprise - middle) / spread], dim=1)
        return both.clamp(-_HIGHEST, _HIGHEST)

    def _mean(self, values: Tensor) -> Tensor:
        return _both(self.near, values)


def averages(size: int, fewer: int) -> Tensor:
    """The matrix `(fewer, size)` that averages a line over equal parts."""
    return functional.adaptive_avg_pool1d(torch.eye(size).unsqueeze(1), fewer)[:, 0].T.contiguous()


def solve(matrix: list[list[Tensor]], right: list[Tensor]) -> list[Tensor]:
    """Solve a symmetric, positive definite system at every pixel.

    Gaussian elimination without pivoting, written out because few runtimes solve systems.

    Args:
        matrix: n rows of n tensors of one shape.
        right: n tensors of that shape.

    Returns:
        The n tensors that the rows times give `right`.
    """
    rows, sums, count = [list(row) for row in matrix], list(right), len(right)
    for pivot in range(count):
        for row in range(pivot + 1, count):
            share = rows[row][pivot] / rows[pivot][pivot]
            for column in range(pivot, count):
                rows[row][column] = rows[row][column] - share * rows[pivot][column]
            sums[row] = sums[row] - share * sums[pivot]
    found: list[Tensor] = []
    for row in reversed(range(count)):
        value = sums[row]
        for factor, solution in zip(rows[row][row + 1 :], found, strict=True):
            value = value - factor * solution
        found.insert(0, value / rows[row][row])
    return found


def _both(matrix: Tensor, values: Tensor) -> Tensor:
    """Rows and columns of `values (..., S, S)` through one matrix."""
    return matrix @ values @ matrix.T


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
