"""Which tokens of a view speak for the region: attention guided by the anomaly map.

ProtoAnomalyNCD adds a mask M = log(ε + g) to the attention of the class token, with one g each for
background, object and anomaly. A convolutional backbone has no class token; here its tokens are
averaged with the weights exp(β M) = (ε + g)^β, β being the region guidance factor, and g runs
continuously from 0 on normal surface to 1 at the peak of the region. Beside the object g is
reduced: what lies there is seldom the defect. From this mean a share of the mean of the region's
normal surroundings is taken, so that a scratch on a dark part and one on a bright part look alike.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BESIDE_OBJECT = 0.3
"""The factor of g beside the object."""

_EPSILON = 1e-3
_NORMAL = 0.3


def pool(
    level: Tensor, weight: Tensor, foreground: Tensor, guidance: float
) -> tuple[Tensor, Tensor]:
    """Average one level's tokens over the region, and over its normal surroundings.

    Args:
        level: `(B, C, H, W)`.
        weight: `(B, 1, S, S)`: how much of the region a pixel is, in [0, 1].
        foreground: `(B, 1, S, S)`: 1 on the object, 0 beside it.
        guidance: β, the region guidance factor.

    Returns:
        `(B, C)` of the region and `(B, C)` of its surroundings on the object.
    """
    beside = BESIDE_OBJECT + (1.0 - BESIDE_OBJECT) * foreground
    mass = guidance * torch.log(_EPSILON + weight.clamp(0, 1) * beside)
    normal = (weight < _NORMAL).float() * foreground
    return _mean(level, mass.exp()), _mean(level, normal)


def _mean(level: Tensor, mass: Tensor) -> Tensor:
    shares = functional.interpolate(mass, level.shape[2:], mode="area") + 1e-9
    return (level * shares).sum((2, 3)) / shares.sum((2, 3))
