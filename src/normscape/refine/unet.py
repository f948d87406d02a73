"""The inpainting network: a small U-Net under time, place and the predicted category."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 16
"""Sides of images must be a multiple of it."""

_FACTORS = (1.0, 1.5, 2.0, 3.0)  # of the width at each resolution, from half the image's down
_CONDITION = 64
_WAVES = 16
_LONGEST = 1e3
_LEAST = 1e-5
_LOG_VARIANCE = (-8.0, 4.0)
_PLANES = 7  # the noised image, the known part of it, the mask


class InpaintingNet(nn.Module):
    """Estimates the hidden pixels of an image, and how sure each estimate is.

    Args:
        categories: C.
        width: Channels at half the image's resolution.
        size: S.

    Raises:
        ValueError: S is no multiple of `STRIDE`.
    """

    waves: Tensor
    place: Tensor

    def __init__(self, categories: int, width: int, size: int) -> None:
        super().__init__()
        if size < STRIDE or size % STRIDE:
            raise ValueError(f"a size of {size}; expected a multiple of {STRIDE}")
        widths = [round(width * factor) for factor in _FACTORS]
        self.category = nn.Embedding(categories, _CONDITION)
        waves = torch.exp(torch.arange(_WAVES) * (-math.log(_LONGEST) / _WAVES))
        self.register_buffer("waves", waves * _LONGEST, persistent=False)
        steps = torch.arange(size // 2) * (4.0 / size) - 1.0
        place = torch.stack(torch.meshgrid(steps, steps, indexing="ij")).unsqueeze(0)
        self.register_buffer("place", place, persistent=False)
        self.time = nn.Sequential(
            nn.Linear(2 * _WAVES, _CONDITION), nn.SiLU(), nn.Linear(_CONDITION, _CONDITION)
        )
        self.inward = nn.Conv2d(4 * _PLANES + 2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Block(each, each) for each in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle = _Block(widths[-1], widths[-1])
        rising = list(pairwise(reversed(widths)))
        self.grow = nn.ModuleList(nn.Conv2d(a, 4 * b, 1) for a, b in rising)
        self.up = nn.ModuleList(_Block(2 * b, b) for _, b in rising)
        self.outward = nn.Conv2d(widths[0], 4 * 4, 3, padding=1)

    def forward(
        self, noised: Tensor, mask: Tensor, time: Tensor, category: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Estimate images.

        Args:
            noised: `(B, 3, S, S)`, the hidden pixels noised, the others as they are.
            mask: `(B, 1, S, S)`, 1 = hidden.
            time: `(B,)` in 0 to 1, how much noise there is.
            category: `(B,)` int64, the predicted categories.

        Returns:
            The images `(B, 3, S, S)`, and the logarithm of the expected squared error of each pixel
            `(B, 1, S, S)`.
        """
        angles = time.unsqueeze(1) * self.waves
        condition = self.category(category) + self.time(
            torch.cat([angles.sin(), angles.cos()], dim=1)
        )
        planes = functional.pixel_unshuffle(
            torch.cat([noised, noised * (1.0 - mask), mask], dim=1), 2
        )
        place = self.place.expand(len(noised), -1, -1, -1)
        hidden = self.inward(torch.cat([planes, place], dim=1))
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            hidden = block(hidden, condition)
            if level < len(self.shrink):
                kept.append(hidden)
                hidden = self.shrink[level](hidden)
        hidden = self.middle(hidden, condition)
        for grow, block in zip(self.grow, self.up, strict=True):
            larger = functional.pixel_shuffle(grow(hidden), 2)
            hidden = block(torch.cat([larger, kept.pop()], dim=1), condition)
        found = functional.pixel_shuffle(self.outward(hidden), 2)
        return found[:, :3], found[:, 3:].clamp(*_LOG_VARIANCE)


class _Block(nn.Module):
    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _Norm(inward), nn.SiLU(), nn.Conv2d(inward, outward, 3, padding=1)
        )
        self.norm = _Norm(outward)
        self.condition = nn.Linear(_CONDITION, 2 * outward)
        self.last = nn.Conv2d(outward, outward, 3, padding=1)
        self.skip = nn.Conv2d(inward, outward, 1) if inward != outward else nn.Identity()
        nn.init.zeros_(self.last.weight)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        state = self.norm(self.first(hidden)) * (1.0 + scale) + shift
        update: Tensor = self.skip(hidden) + self.last(functional.silu(state))
        return update


class _Norm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        squares = hidden.square().mean(dim=1, keepdim=True)
        scaled: Tensor = hidden * torch.rsqrt(squares + _LEAST) * self.gain
        return scaled
