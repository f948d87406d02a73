"""Each category's own space: where its tokens are centred, scaled and compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normscape.prototypes.geometry import compress_norm, expand_norm

_TINY = 1e-6


class CategorySpaces(nn.Module):
    """Origin and scale of every category: `x = compress((z - o_c) / s_c)`.

    The transform from maps to tokens is one for all categories and depends on all of them; what
    is usual and unusual in a category must not. With the mean of the category's own tokens as the
    origin, the length and the direction of a token say the same whether the model knows 5
    categories or 160.

    Args:
        origin: `(C, D)` mean token of each category.
        scale: `(C,)` root mean square per dimension of its tokens around that.
        norm_power: Of `compress_norm`.
    """

    origin: Tensor
    scale: Tensor

    def __init__(self, origin: Tensor, scale: Tensor, norm_power: float) -> None:
        super().__init__()
        self.norm_power = norm_power
        self.register_buffer("origin", origin.float())
        self.register_buffer("scale", scale.float())

    def enter(self, tokens: Tensor, category: int | Tensor) -> Tensor:
        """Tokens of the transform in the space of a category.

        Args:
            tokens: `(..., N, D)`.
            category: One for all, or an index tensor `(...)`.
        """
        origin, scale = self._of(category)
        return compress_norm((tokens - origin) / scale, self.norm_power)

    def leave(self, tokens: Tensor, category: int | Tensor) -> Tensor:
        """The way back; with a norm power of 1, which forgets lengths, to the scale's length."""
        origin, scale = self._of(category)
        return expand_norm(tokens, self.norm_power) * scale + origin

    def differences(self, tokens: Tensor, nearest: Tensor) -> Tensor:
        """Root mean square differences `(..., 2)` of tokens and their nearest prototypes.

        The first in the space of the category, where lengths are compressed and a faint token in
        an unusual direction counts. The second with the lengths as they were: where an image
        differs much, and how far that reaches.

        Args:
            tokens: `(..., D)` in the space of their category.
            nearest: `(..., D)`.
        """
        power = self.norm_power
        plain = expand_norm(tokens, power) - expand_norm(nearest, power)
        both = torch.stack([tokens - nearest, plain], dim=-2)
        return both.square().mean(dim=-1).sqrt()

    def _of(self, category: int | Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(category, int):
            return self.origin[category], self.scale[category]
        return self.origin[category].unsqueeze(-2), self.scale[category][..., None, None]

    @classmethod
    def fit(cls, tokens: Sequence[Tensor], norm_power: float) -> CategorySpaces:
        """Mean and scale of the tokens `(M_c, D)` of each category."""
        origins, scales = [], []
        for points in tokens:
            values = points.float()
            origins.append(values.mean(dim=0))
            scales.append((values - origins[-1]).square().mean().sqrt().clamp_min(_TINY))
        return cls(torch.stack(origins), torch.stack(scales), norm_power)
