"""The space in which tokens and prototypes are compared."""

from __future__ import annotations

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


def rank_distances(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """`|p|^2 - 2 x p`, which orders the prototypes `(K, D)` of each token `(M, D)` by distance.

    Returns:
        `(M, K)`, one matrix product; add `|x|^2` for squared distances.
    """
    return torch.addmm(prototypes.square().sum(1), tokens, prototypes.T, alpha=-2.0)
