"""Reconstruction: partial noise, then a few deterministic denoising steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from normscape.diffusion.denoiser import Condition
from normscape.diffusion.schedule import Schedule


def reconstruct(
    denoiser: Callable[[Tensor, Tensor, Condition], Tensor],
    schedule: Schedule,
    residual: Tensor,
    condition: Condition,
    noise: Tensor,
    *,
    start: int,
    steps: int,
) -> Tensor:
    """Noise residuals to step `start` and bring them back with `steps` DDIM steps.

    DDIM (Song et al. 2021, eq. 12, eta = 0) between evenly spaced times from `start` to 0; the
    last step returns the denoiser's own estimate of the clean residual.

    Args:
        denoiser: Predicts the clean residual.
        schedule: The forward process.
        residual: `(B, N, D)`, scaled as in training.
        condition: Prototypes for every token.
        noise: `(B, N, D)` unit noise; a fixed one makes the result deterministic.
        start: The time step to which the residual is noised, 1 to T.
        steps: Denoiser evaluations.

    Returns:
        The reconstructed residual `(B, N, D)`.
    """
    batch = len(residual)
    times = torch.linspace(start, 0, steps + 1).round().long().tolist()
    state = schedule.diffuse(residual, noise, residual.new_full((batch,), start, dtype=torch.long))
    estimate = state
    for current, after in pairwise(times):
        time = residual.new_full((batch,), current, dtype=torch.long)
        estimate = denoiser(state, time, condition)
        if after > 0:
            direction = (state - schedule.signal[current] * estimate) / schedule.noise[current]
            state = schedule.signal[after] * estimate + schedule.noise[after] * direction
    return estimate
