"""The denoiser: rebuilds a token from its noised residual and from prototypes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_TIME_FEATURES = 64
_EXPANSION = 2


@dataclass(frozen=True)
class Condition:
    """The prototypes a batch of tokens may draw on; nothing here is an image token.

    Attributes:
        local_bank: `(K, D)`, of any precision.
        local_index: `(B, N, k)` rows of `local_bank`.
        global_prototypes: `(B, m, D)`.
        mean: `(B, N, D)` the aggregate of the token's local prototypes.
    """

    local_bank: Tensor
    local_index: Tensor
    global_prototypes: Tensor
    mean: Tensor


class Denoiser(nn.Module):
    """Predicts the clean residual `u_0` from `u_t`, token by token.

    Each block is an attention over prototypes and an MLP, both modulated by the time step
    (AdaLN, Peebles & Xie 2023). Keys and values come only from prototypes and tokens never see
    each other, so the one way in for an anomaly is its own noised residual.

    Args:
        dimensions: D of the tokens.
        width: Of the blocks, divisible by `heads`.
        blocks: How many.
        heads: Of the attention.
        steps: T, for the scale of the time embedding.
    """

    def __init__(self, dimensions: int, width: int, blocks: int, heads: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.inward = nn.Linear(2 * dimensions, width)
        self.time = nn.Sequential(nn.Linear(_TIME_FEATURES, width), nn.SiLU())
        self.blocks = nn.ModuleList(Block(dimensions, width, heads) for _ in range(blocks))
        self.outward = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dimensions))
        last = self.outward[1]
        assert isinstance(last, nn.Linear)  # noqa: S101 - for the type checker
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """The estimate of `u_0 (B, N, D)` from `u_t (B, N, D)` at steps `time (B,)`."""
        hidden = self.inward(torch.cat([noisy, condition.mean], dim=-1))
        moment = self.time(_embed(time, self.steps))
        # Several tokens share a prototype: project each one once, then gather.
        used, position = torch.unique(condition.local_index, return_inverse=True)
        local = condition.local_bank[used].float()
        for block in self.blocks:
            hidden = block(hidden, moment, local, position, condition.global_prototypes)
        estimate: Tensor = self.outward(hidden)
        return estimate


class Block(nn.Module):
    """AdaLN → attention over prototypes → AdaLN → MLP, each with a gated skip."""

    def __init__(self, dimensions: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 6 * width)
        self.query = nn.Linear(width, width)
        self.local = nn.Linear(dimensions, 2 * width)
        self.globally = nn.Linear(dimensions, 2 * width)
        self.merge = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, _EXPANSION * width), nn.SiLU(), nn.Linear(_EXPANSION * width, width)
        )
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self, hidden: Tensor, moment: Tensor, local: Tensor, position: Tensor, globals_: Tensor
    ) -> Tensor:
        """One step for `hidden (B, N, W)`.

        Args:
            hidden: The state.
            moment: `(B, W)` time embedding.
            local: `(U, D)` the local prototypes in use.
            position: `(B, N, k)` rows of `local`.
            globals_: `(B, m, D)`.
        """
        shift, scale, gate, shift2, scale2, gate2 = (
            self.modulation(moment).unsqueeze(1).chunk(6, dim=-1)
        )
        state = self.norm(hidden) * (1 + scale) + shift
        hidden = hidden + (1 + gate) * self.attend(state, local, position, globals_)
        state = self.norm(hidden) * (1 + scale2) + shift2
        update: Tensor = hidden + (1 + gate2) * self.mlp(state)
        return update

    def attend(self, state: Tensor, local: Tensor, position: Tensor, globals_: Tensor) -> Tensor:
        """Attention of `state (B, N, W)` over each token's k local and its image's m globals."""
        batch, tokens, width = state.shape
        head = width // self.heads
        query = self.query(state).view(batch, tokens, self.heads, head) / math.sqrt(head)
        near = functional.embedding(position, self.local(local))
        near_key, near_value = near.view(batch, tokens, -1, 2, self.heads, head).unbind(3)
        far = self.globally(globals_).view(batch, -1, 2, self.heads, head)
        far_key, far_value = far.unbind(2)
        # Few neighbours: elementwise products are faster than many tiny matrix products.
        near_logits = (query.unsqueeze(2) * near_key).sum(dim=-1)
        far_logits = torch.einsum("bnhd,bmhd->bnmh", query, far_key)
        weights = torch.softmax(torch.cat([near_logits, far_logits], dim=2), dim=2)
        near_weights, far_weights = torch.split(weights, [position.shape[-1], far.shape[1]], dim=2)
        mixed = (near_weights.unsqueeze(-1) * near_value).sum(dim=2)
        mixed = mixed + torch.einsum("bnmh,bmhd->bnhd", far_weights, far_value)
        merged: Tensor = self.merge(mixed.reshape(batch, tokens, width))
        return merged


def _embed(time: Tensor, steps: int) -> Tensor:
    """Sinusoidal features `(B, 64)` of the step `time (B,)`, on a scale of 1,000 steps."""
    half = _TIME_FEATURES // 2
    frequencies = torch.exp(
        torch.arange(half, device=time.device, dtype=torch.float32) * (-math.log(1e4) / half)
    )
    angles = time.float().unsqueeze(1) * (1000.0 / steps) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
