"""The space in which tokens and prototypes are compared."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_TINY = 1e-12


def compress_norm(tokens: Tensor, power: float) -> Tensor:
    """Shrink the differences in length between tokens: `z = x / |x|^power * D^(power / 2)`.

    With power 0 squared distances are Euclidean, with power 1 every token has length `sqrt(D)`
    and `|z - p|^2 = 2 D (1 - cos)`. In between, a long token (an unusual one) stays unusual but
    does not drown the direction in which it differs.

    Args:
        tokens: `(..., D)`.
        power: Between 0 and 1.

    Returns:
        `(..., D)`, of the same dtype.
    """
    if power == 0.0:
        return tokens
    dimensions = tokens.shape[-1]
    squared = tokens.square().sum(dim=-1, keepdim=True).clamp_min(_TINY)
    return tokens * (dimensions / squared).pow(power / 2)


def expand_norm(tokens: Tensor, power: float) -> Tensor:
    """The inverse of `compress_norm` for a power below 1; with power 1 nothing changes."""
    if power in {0.0, 1.0}:
        return tokens
    dimensions = tokens.shape[-1]
    squared = tokens.square().sum(dim=-1, keepdim=True).clamp_min(_TINY)
    return tokens * (squared / dimensions).pow(power / (2.0 - 2.0 * power))


def rank_distances(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """`|p|^2 - 2 x p`, which orders the prototypes `(K, D)` of each token `(M, D)` by distance.

    Returns:
        `(M, K)`, one matrix product; add `|x|^2` for squared distances.
    """
    return torch.addmm(prototypes.square().sum(1), tokens, prototypes.T, alpha=-2.0)


def coarse_ranks(tokens: Tensor, prototypes: Tensor, squared: Tensor) -> Tensor:
    """`rank_distances`, with the product in bfloat16 where that is fast: an error of about 1 %.

    Args:
        tokens: `(M, D)` float32.
        prototypes: `(K, D)` float32 or bfloat16.
        squared: `(K,)` their squared lengths.

    Returns:
        `(M, K)` float32.
    """
    if _fast_bfloat16(tokens.device.type):
        return torch.add(squared, tokens.bfloat16() @ prototypes.bfloat16().T, alpha=-2.0)
    return torch.addmm(squared, tokens, prototypes.float().T, alpha=-2.0)


@cache
def _fast_bfloat16(device: str) -> bool:
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
