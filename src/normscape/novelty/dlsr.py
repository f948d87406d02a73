"""DLSR: how badly does a diffusion model of known products rebuild an image's pooled features?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_FIRST_BETA, _LAST_BETA = 0.0015, 0.0195
_TIME_FEATURES = 64


@dataclass(frozen=True)
class DLSRConfig:
    """What shapes the network and its scores.

    Attributes:
        channels: Of each level of the backbone; their sum is D.
        width: Of the hidden layers.
        blocks: Residual blocks.
        timesteps: T, the steps of the forward process.
        noise_step: t, up to which features are noised before they are rebuilt.
        sampler_steps: DDIM steps from t back to 0.
    """

    channels: tuple[int, ...]
    width: int
    blocks: int
    timesteps: int
    noise_step: int
    sampler_steps: int


class DLSR(nn.Module):
    """Diffusion-based layer-wise semantic reconstruction of pooled features.

    Pooled features are z-scored, noised to a small step t and brought back by a denoiser that has
    only seen known products; what is far from all of them comes back as something else.

    Args:
        config: See the class.

    Source:
        Yang et al., Diffusion-based Layer-wise Semantic Reconstruction for Unsupervised
        Out-of-Distribution Detection, NeurIPS 2024: all levels count, and the DDIM steps are
        taken evenly from t to 0.
    """

    mean: Tensor
    scale: Tensor
    noise: Tensor
    kept: Tensor

    def __init__(self, config: DLSRConfig) -> None:
        super().__init__()
        size = sum(config.channels)
        self.config = config
        self.denoiser = Denoiser(size, config.width, config.blocks)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("noise", torch.zeros(size))
        self.register_buffer("kept", _kept(config.timesteps), persistent=False)

    def standardise(self, pooled: Tensor) -> Tensor:
        """`z_0 (B, D)` of pooled features `(B, D)`."""
        return (pooled - self.mean) / self.scale

    def diffuse(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """`z_t (B, D)` for `clean (B, D)`, unit `noise` of that shape and `time (B,)` or `(1,)`."""
        kept = self.kept[time].unsqueeze(1)
        return kept.sqrt() * clean + (1.0 - kept).sqrt() * noise

    def reconstruct(self, clean: Tensor) -> Tensor:
        """`z_0 (B, D)` noised with the stored noise and brought back by a few DDIM steps."""
        # Plain numbers, because an export can follow no value of a tensor.
        start, steps = self.config.noise_step, self.config.sampler_steps
        times = [round(start * (steps - step) / steps) for step in range(steps + 1)]
        state = self.diffuse(clean, self.noise, self._time(clean, start))
        for here, there in pairwise(times):
            estimate: Tensor = self.denoiser(state, self._time(clean, here))
            if there == 0:
                return estimate
            noise = (state - self.kept[here].sqrt() * estimate) / (1.0 - self.kept[here]).sqrt()
            state = self.kept[there].sqrt() * estimate + (1.0 - self.kept[there]).sqrt() * noise
        return state

    @staticmethod
    def _time(clean: Tensor, time: int) -> Tensor:
        return torch.full((1,), time, dtype=torch.long, device=clean.device)

    def errors(self, clean: Tensor) -> Tensor:
        """Two measures of how far `clean (B, D)` is from its reconstruction: `(B, 2)`.

        First MFsim as an error, 1 - the mean over levels of their cosine similarity (the paper's
        score is its negative similarity, in the same order); then the mean squared error.
        """
        rebuilt = self.reconstruct(clean)
        channels = list(self.config.channels)
        pairs = zip(torch.split(clean, channels, 1), torch.split(rebuilt, channels, 1), strict=True)
        similar = torch.stack([functional.cosine_similarity(a, b, dim=1) for a, b in pairs])
        squared = (clean - rebuilt).square().mean(dim=1)
        return torch.stack([1.0 - similar.mean(dim=0), squared], dim=1)


class Denoiser(nn.Module):
    """Residual MLP that estimates `z_0` from `z_t`; its first estimate is 0.

    The paper's group normalisation in one group is, for vectors, layer normalisation.

    Args:
        size: D.
        width: Of the hidden layers.
        blocks: How many.
    """

    frequencies: Tensor

    def __init__(self, size: int, width: int, blocks: int) -> None:
        super().__init__()
        half = _TIME_FEATURES // 2
        frequencies = torch.exp(torch.arange(half) * (-math.log(1e4) / half))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.inward = nn.Sequential(nn.SiLU(), nn.Linear(size, width))
        self.moment = nn.Sequential(
            nn.Linear(_TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.outward = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), _zero(width, size))

    def forward(self, noisy: Tensor, time: Tensor) -> Tensor:
        """The estimate `(B, D)` from `noisy (B, D)` at steps `time (B,)` or `(1,)`."""
        angles = time.to(noisy.dtype).unsqueeze(1) * self.frequencies
        moment = self.moment(torch.cat([angles.sin(), angles.cos()], dim=1))
        hidden = self.inward(noisy)
        for block in self.blocks:
            hidden = block(hidden, moment)
        estimate: Tensor = self.outward(hidden)
        return estimate


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))
        self.moment = nn.Linear(width, width)
        self.second = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), _zero(width, width))

    def forward(self, hidden: Tensor, moment: Tensor) -> Tensor:
        update: Tensor = self.second(self.first(hidden) + self.moment(moment))
        return hidden + update


def _zero(inward: int, outward: int) -> nn.Linear:
    layer = nn.Linear(inward, outward)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _kept(steps: int) -> Tensor:
    """What is left of the signal's variance after t = 0 to T steps, `(T + 1,)`."""
    betas = torch.linspace(_FIRST_BETA**0.5, _LAST_BETA**0.5, steps, dtype=torch.float64) ** 2
    start = torch.ones(1, dtype=torch.float64)
    return torch.cat([start, torch.cumprod(1.0 - betas, dim=0)]).float()
