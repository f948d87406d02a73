"""The decoder: prototypes take from the image what is normal, the image is rebuilt from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from normscape.detectors.proad.config import ProADConfig

_TINY = 1e-4
_EXPANSION = 2
_LEAST = 1e-30
NEVER = -1e30
"""The logarithm of no share at all."""


class LinearAttention(nn.Module):
    """`φ(Q) (φ(K)ᵀ V) / φ(Q) φ(K)ᵀ 1` with φ = ReLU; nothing at all before it is trained.

    It costs as much a token whatever the number of sources, and asks for no softmax over them.

    Args:
        query: Numbers of a query.
        source: Numbers of a source.
        width: Of all heads together.
        heads: That divide it.
    """

    def __init__(self, query: int, source: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(query, width)
        self.key = nn.Linear(source, width)
        self.value = nn.Linear(source, width)
        self.out = _zero(nn.Linear(width, query))

    def forward(self, queries: Tensor, sources: Tensor) -> Tensor:
        """What `(B, N, query)` takes from `(B, M, source)`: `(B, N, query)`."""
        query = self._split(self.query(queries)).relu()
        key = self._split(self.key(sources)).relu()
        value = self._split(self.value(sources))
        count = sources.shape[1]
        mixed = query @ (key.transpose(2, 3) @ value / count)
        weight = (query * key.mean(dim=2, keepdim=True)).sum(dim=3, keepdim=True)
        found = (mixed / (weight + _TINY)).transpose(1, 2).flatten(2)
        taken: Tensor = self.out(found)
        return taken

    def _split(self, values: Tensor) -> Tensor:
        batch, count, width = values.shape
        return values.view(batch, count, self.heads, width // self.heads).transpose(1, 2)


class Layer(nn.Module):
    """One step in both directions; see docs/methods.md.

    Args:
        config: Of the detector.
        source: Numbers of the feature level that the prototypes are updated from.
    """

    def __init__(self, config: ProADConfig, source: int) -> None:
        super().__init__()
        size, width = config.dimensions, config.width
        self.gather = LinearAttention(size, source, width, config.heads)
        self.context = LinearAttention(size, size, width, config.heads)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))
        self.mlp = nn.Sequential(
            nn.Linear(size, _EXPANSION * width),
            nn.GELU(),
            _zero(nn.Linear(_EXPANSION * width, size)),
        )

    def forward(
        self, state: Tensor, prototypes: Tensor, level: Tensor, allowed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update the prototypes from a level, then rebuild the state from them.

        Args:
            state: `(B, N, D)`.
            prototypes: See `Decoder.forward`.
            level: `(B, N, D_l)` the part of the tokens that is of one feature level.
            allowed: See `Decoder.forward`.

        Returns:
            The rebuilt state `(B, N, D)`, the prototypes, and the mean squared distance `(B, N)`
            of each token to the nearest of them.
        """
        rows = prototypes.flatten(1, 2)
        prototypes = prototypes + self.gather(rows, level).view(prototypes.shape)
        state = state + self.context(state, state)
        distances = _distances(state, prototypes)
        weights = torch.softmax(allowed - distances / (2 * self.log_temperature.exp()), dim=2)
        # No residual: what is not in the prototypes does not reach the next layer.
        state = _mixed(weights, prototypes)
        nearest = distances.masked_fill(allowed <= NEVER, -NEVER).amin(dim=2)
        return state + self.mlp(state), prototypes, nearest


class Decoder(nn.Module):
    """Rebuilds tokens in the space of their category, layer by layer.

    The prototypes take from the levels in turn, the last layer ending with the last of them.

    Args:
        config: Of the detector.
    """

    def __init__(self, config: ProADConfig) -> None:
        super().__init__()
        ends = torch.tensor(config.level_sizes).cumsum(0).tolist()
        slices = [
            slice(end - size, end) for end, size in zip(ends, config.level_sizes, strict=True)
        ]
        count = len(slices)
        self.levels = [slices[(at - config.layers) % count] for at in range(config.layers)]
        self.layers = nn.ModuleList(
            Layer(config, level.stop - level.start) for level in self.levels
        )

    def forward(self, tokens: Tensor, prototypes: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Rebuild tokens `(B, N, D)`.

        Args:
            tokens: Of B images.
            prototypes: `(B, N, k, D)` that each token may be rebuilt from, or `(B, 1, K, D)` if it
                is the same ones for all tokens of an image.
            allowed: `(B, N, k)` or `(B, 1, K)` the logarithm of how much of each of them; `NEVER`
                for padding.

        Returns:
            The rebuilt tokens `(B, N, D)`, and the mean squared distance `(B, N)` of each token to
            the nearest prototype once these have taken from the first level.
        """
        state, first = tokens, torch.zeros(())
        for number, (level, layer) in enumerate(zip(self.levels, self.layers, strict=True)):
            state, prototypes, nearest = layer(state, prototypes, tokens[..., level], allowed)
            first = nearest if number == 0 else first
        return state, first


def constrain(tokens: Tensor, nearest: Tensor, temperature: float) -> Tensor:
    """How much a token may take of its nearest prototypes: nothing of the farthest of them.

    `log (1 - exp(-(d_k - d_j) / 2τ))` falls steadily towards the farthest, so that what is
    rebuilt does not jump where one prototype takes the place of another among the nearest.

    Args:
        tokens: `(..., N, D)`.
        nearest: `(..., N, k, D)`.
        temperature: τ.

    Returns:
        `(..., N, k)`.
    """
    distances = (tokens.unsqueeze(-2) - nearest).square().mean(dim=-1)
    behind = distances.amax(dim=-1, keepdim=True) - distances
    return (1.0 - (-behind / (2.0 * temperature)).exp() + _LEAST).log()


def _distances(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Mean squared distances `(B, N, K)` of tokens and the prototypes of `Decoder.forward`."""
    if prototypes.shape[1] > 1:
        return (tokens.unsqueeze(2) - prototypes).square().mean(dim=3)
    shared = prototypes.squeeze(1)
    lengths = shared.square().sum(dim=2).unsqueeze(1)
    own = tokens.square().sum(dim=2, keepdim=True)
    return (lengths - 2.0 * tokens @ shared.transpose(1, 2) + own) / tokens.shape[2]


def _mixed(weights: Tensor, prototypes: Tensor) -> Tensor:
    """The mean `(B, N, D)` of prototypes with weights `(B, N, K)`."""
    if prototypes.shape[1] > 1:
        return (weights.unsqueeze(3) * prototypes).sum(dim=2)
    return weights @ prototypes.squeeze(1)


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
