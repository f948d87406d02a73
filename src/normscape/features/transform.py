"""From the maps of a backbone to tokens: pooled, centred, balanced, whitened."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from normscape.backbones import LevelShape
from normscape.errors import DataError, NormscapeError, UsageError
from normscape.sections.model import FeatureParams

_CHUNK = 8192
_DEAD = 1e-10
_SMALLEST_EIGENVALUE = 1e-6


class TokenTransform(nn.Module):
    """Turns level maps into tokens `(B, N, D)` with N = grid² and D = dimensions.

    Each level is average-pooled over a neighbourhood, resized to one grid, centred, and scaled as
    a whole with the statistics of the training tokens, so that its share of the variance is its
    weight and not its number of channels. Within a level channels keep their proportions: those
    that say little also vary little. The concatenation is projected on its principal components,
    each divided by λ^(whitening/2), and scaled so that a training token's mean squared norm is D.
    The components are those of all levels together, or each of one level alone (`level_sizes`).

    All of this is linear in the maps, and pooling and resizing act on each channel alike: they
    commute with the projection, so each level is resized while it has fewer values.

    Args:
        config: What `config()` of a fitted transform returned.

    Raises:
        NormscapeError: The configuration is not complete.
    """

    bias: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        try:
            self.shapes = tuple((int(c), int(h), int(w)) for c, h, w in config["shapes"])
            self.grid = int(config["grid"])
            self.neighbourhood = int(config["neighbourhood"])
            self.dimensions = int(config["dimensions"])
            self.whitening = float(config["whitening"])
            self.explained = float(config["explained"])
            self.level_sizes = tuple(int(size) for size in config.get("level_sizes", ()))
        except (KeyError, TypeError, ValueError) as error:
            raise NormscapeError(
                f"token transform: its configuration is not complete ({error!r}); it was written "
                "by another version or is damaged, run the prototypes stage again"
            ) from None
        for level, (channels, _, _) in enumerate(self.shapes):
            self.register_buffer(f"projection_{level}", torch.zeros(self.dimensions, channels))
        self.register_buffer("bias", torch.zeros(self.dimensions))

    @property
    def tokens(self) -> int:
        """Tokens per image, N."""
        return self.grid**2

    def config(self) -> dict[str, Any]:
        """What is needed, beside the state dict, to build this transform again; JSON values.

        `explained` is the share of the balanced channels' variance that the components keep.
        """
        sizes = {"level_sizes": list(self.level_sizes)} if self.level_sizes else {}
        return {
            "shapes": [list(shape) for shape in self.shapes],
            "grid": self.grid,
            "neighbourhood": self.neighbourhood,
            "dimensions": self.dimensions,
            "whitening": self.whitening,
            "explained": self.explained,
            **sizes,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TokenTransform:
        """Build an empty transform for `load_state_dict`; see the class."""
        return cls(config)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn level maps `(B, C_l, H_l, W_l)` into tokens `(B, N, D)`, row by row of the grid."""
        total = self.bias.view(1, -1, 1, 1)
        for level, features in enumerate(maps):
            total = total + self._projected(features, self.get_buffer(f"projection_{level}"))
        return total.flatten(2).transpose(1, 2).contiguous()

    def _projected(self, features: Tensor, projection: Tensor) -> Tensor:
        channels, height, width = features.shape[1:]
        shrink_first = height * width >= self.tokens and channels <= self.dimensions
        if shrink_first:
            features = to_grid(features, self.grid, self.neighbourhood)
        projected = torch.matmul(features.flatten(2).transpose(1, 2), projection.T)
        square = projected.view(len(features), *features.shape[2:], -1).permute(0, 3, 1, 2)
        return square if shrink_first else to_grid(square, self.grid, self.neighbourhood)

    @classmethod
    def fit(
        cls,
        batches: Iterable[Sequence[Tensor]],
        params: FeatureParams,
        shapes: Sequence[LevelShape],
        *,
        seed: int = 0,
        by_level: bool = False,
    ) -> TokenTransform:
        """Fit on the maps of training images, in one pass over them.

        Every token of every image is as likely as any other to be among the `params.fit_tokens`
        that are kept for the statistics, whatever the number of images; memory holds at most
        twice as many.

        Args:
            batches: Lists of level maps `(B, C_l, H_l, W_l)`.
            params: All but batch_size and shard_images are used.
            shapes: `(C, H, W)` of each level.
            seed: Of the sampling.
            by_level: Whether every component is made of one level alone; a token is then its
                levels one after the other, `level_sizes` numbers each.

        Raises:
            UsageError: More dimensions than the levels have channels together, or another number
                of weights than levels.
            DataError: No images.
        """
        channels = [shape[0] for shape in shapes]
        if params.dimensions > sum(channels):
            raise UsageError(
                f"features.dimensions is {params.dimensions}, but the levels have only "
                f"{' + '.join(map(str, channels))} = {sum(channels)} channels; lower it or add "
                "levels to backbone.levels"
            )
        weights = params.level_weights or (1.0,) * len(shapes)
        if len(weights) != len(shapes):
            raise UsageError(
                f"features.level_weights has {len(weights)} values, backbone.levels has "
                f"{len(shapes)}; expected one weight per level, or null for equal ones"
            )
        sample = _sample_tokens(batches, params, seed)
        mean, covariance = _moments(sample)
        scale = _balance(covariance.diagonal(), channels, weights)
        balanced = scale[:, None] * covariance * scale
        if by_level:
            eigenvalues, vectors, sizes = _level_components(balanced, channels, params.dimensions)
        else:
            eigenvalues, vectors = _components(balanced, params.dimensions)
            sizes = []
        variance = float((scale**2 * covariance.diagonal()).sum())
        factor = eigenvalues.clamp(min=_SMALLEST_EIGENVALUE * float(eigenvalues.max()))
        whitened = eigenvalues / factor**params.whitening
        length = math.sqrt(params.dimensions / max(float(whitened.sum()), 1e-30))
        projection = length * (vectors / factor ** (params.whitening / 2)).T * scale

        transform = cls(
            {
                "shapes": shapes,
                "grid": params.grid,
                "neighbourhood": params.neighbourhood,
                "dimensions": params.dimensions,
                "whitening": params.whitening,
                "explained": round(float(eigenvalues.sum()) / max(variance, 1e-30), 6),
                "level_sizes": sizes,
            }
        )
        for level, part in enumerate(torch.split(projection, channels, dim=1)):
            transform.get_buffer(f"projection_{level}").copy_(part)
        transform.bias.copy_(-(projection @ mean))
        return transform


def to_grid(maps: Tensor, grid: int, neighbourhood: int) -> Tensor:
    """Average each position over its neighbourhood, then resize.

    Args:
        maps: `(B, C, H, W)`.
        grid: Positions per side of the result.
        neighbourhood: Side of the window, odd; at the border only positions inside count.

    Returns:
        `(B, C, grid, grid)`, bilinear, antialiased where the map is finer than the grid.
    """
    # Channels last: pooling and resizing are several times faster on a CPU, and tokens are a view.
    maps = maps.contiguous(memory_format=torch.channels_last)
    if neighbourhood > 1:
        maps = functional.avg_pool2d(
            maps, neighbourhood, stride=1, padding=neighbourhood // 2, count_include_pad=False
        )
    if maps.shape[2:] == (grid, grid):
        return maps
    finer = maps.shape[2] > grid or maps.shape[3] > grid
    return functional.interpolate(
        maps, (grid, grid), mode="bilinear", align_corners=False, antialias=finer
    )


def _sample_tokens(batches: Iterable[Sequence[Tensor]], params: FeatureParams, seed: int) -> Tensor:
    """Keep the tokens with the smallest of random numbers: uniform, and in one pass."""
    generator = torch.Generator().manual_seed(seed)
    kept: list[Tensor] = []
    numbers: list[Tensor] = []
    held, limit = 0, 1.0
    for maps in batches:
        grids = [to_grid(level.cpu(), params.grid, params.neighbourhood) for level in maps]
        tokens = torch.cat(grids, dim=1).flatten(2).transpose(1, 2)
        number = torch.rand(tokens.shape[:2], generator=generator, dtype=torch.float64)
        chosen = number < limit
        kept.append(tokens[chosen])
        numbers.append(number[chosen])
        held += len(kept[-1])
        if held > 2 * params.fit_tokens:
            kept, numbers, limit = _smallest(kept, numbers, params.fit_tokens)
            held = params.fit_tokens
    if not held:
        raise DataError("no training images to fit the token transform on; check the manifest")
    return _smallest(kept, numbers, min(held, params.fit_tokens))[0][0]


def _smallest(
    kept: list[Tensor], numbers: list[Tensor], count: int
) -> tuple[list[Tensor], list[Tensor], float]:
    number = torch.cat(numbers)
    order = number.argsort()[:count]
    return [torch.cat(kept)[order]], [number[order]], float(number[order[-1]])


def _moments(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `(C,)` and covariance `(C, C)` of tokens `(n, C)` in float64."""
    mean = tokens.double().mean(dim=0)
    covariance = torch.zeros(tokens.shape[1], tokens.shape[1], dtype=torch.float64)
    for chunk in torch.split(tokens, _CHUNK):
        centred = chunk.double() - mean
        covariance += centred.T @ centred
    return mean, covariance / len(tokens)


def _balance(variance: Tensor, channels: Sequence[int], weights: Sequence[float]) -> Tensor:
    """√(w_l / total variance of the level) for each channel; 0 for levels that never change."""
    parts = []
    for part, weight in zip(torch.split(variance, list(channels)), weights, strict=True):
        total = float(part.sum())
        parts.append(torch.full_like(part, math.sqrt(weight / total) if total > _DEAD else 0.0))
    return torch.cat(parts)


def _components(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues `(count,)` and their vectors `(C, count)`, largest first.

    The sign of a vector is arbitrary; its entry of largest magnitude is made positive.
    """
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0)[:count].clamp(min=0.0), vectors.flip(1)[:, :count]
    largest = vectors.abs().argmax(dim=0)
    signs = vectors[largest, torch.arange(count)].sign()
    return values, vectors * signs


def _level_components(
    covariance: Tensor, channels: Sequence[int], count: int
) -> tuple[Tensor, Tensor, list[int]]:
    """The largest eigenvalues of the levels' own covariances, level by level, and their numbers.

    Every level has one at least; `count` is no less than the number of levels.
    """
    found = [
        _components(covariance[end - size : end, end - size : end], size)
        for end, size in zip(itertools.accumulate(channels), channels, strict=True)
    ]
    first = torch.cat([torch.arange(size) == 0 for size in channels])
    values = torch.cat([values for values, _ in found])
    chosen = values.masked_fill(first, torch.inf).argsort(descending=True, stable=True)[:count]
    kept = torch.zeros(len(values), dtype=torch.bool).index_fill(0, chosen, True)
    vectors = torch.block_diag(*(vectors for _, vectors in found))  # type: ignore[no-untyped-call]
    sizes = [int(part.sum()) for part in torch.split(kept, list(channels))]
    return values[kept], vectors[:, kept], sizes
