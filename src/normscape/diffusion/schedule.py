"""The forward process: diffusion towards the prototype condition."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FIRST_BETA = 1e-4
_LAST_BETA = 0.02
_REFERENCE_STEPS = 1000


class Schedule(nn.Module):
    """`q(x_t | x_0, y) = N(sqrt(a_t) x_0 + (1 - sqrt(a_t)) y, (1 - a_t) I)`.

    With the residual `u = x - y` this is ordinary DDPM (Ho et al. 2020, eq. 4) on `u`:
    `u_t = sqrt(a_t) u_0 + sqrt(1 - a_t) e`, so `x_t - y = u_t` and an ordinary sampler applies;
    `y` is added back at the end. Betas are linear from 1e-4 to 0.02 at 1,000 steps and rescaled
    for another number, so that the last step is the same noise.

    Args:
        steps: T, the number of time steps.
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        factor = _REFERENCE_STEPS / steps
        betas = torch.linspace(
            _FIRST_BETA * factor, _LAST_BETA * factor, steps, dtype=torch.float64
        ).clamp_max(0.999)
        # Step 0 is the clean residual, step t the result of t additions of noise.
        kept = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1.0 - betas, dim=0)])
        self.steps = steps
        self.register_buffer("signal", kept.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1.0 - kept).sqrt().float(), persistent=False)

    def diffuse(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """`u_t` for residuals `clean (B, N, D)`, unit `noise` of that shape and `time (B,)`."""
        shape = (-1, *([1] * (clean.dim() - 1)))
        return self.signal[time].view(shape) * clean + self.noise[time].view(shape) * noise
