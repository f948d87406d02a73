"""The decoder: prototypes take from the image what is normal, the image is rebuilt from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from normscape.detectors.proad.config import ProADConfig

_TINY = 1e-4
_EXPANSION = 2
_FAR = 1e30


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
        self.neighbours = config.neighbours
        self.gather = LinearAttention(size, source, width, config.heads)
        self.context = LinearAttention(size, size, width, config.heads)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))
        self.mlp = nn.Sequential(
            nn.Linear(size, _EXPANSION * width),
            nn.GELU(),
            _zero(nn.Linear(_EXPANSION * width, size)),
        )

    def forward(
        self, state: Tensor, prototypes: Tensor, level: Tensor, beyond: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update the prototypes from a level, then rebuild the state from them.

        Args:
            state: `(B, N, D)`.
            prototypes: `(B, K, D)` of each image.
            level: `(B, N, D_l)` the part of the tokens that is of one feature level.
            beyond: `(B, K)` rows that are only padding.

        Returns:
            The rebuilt state `(B, N, D)`, the prototypes, and the mean squared distance `(B, N)`
            of each token to the nearest of them.
        """
        prototypes = prototypes + self.gather(prototypes, level)
        state = state + self.context(state, state)
        distances = _distances(state, prototypes)
        if beyond is not None:
            distances = distances.masked_fill(beyond.unsqueeze(1), _FAR)
        weights = torch.softmax(-self._kept(distances) / (2 * self.log_temperature.exp()), dim=2)
        # No residual: what is not in the prototypes does not reach the next layer.
        state = weights @ prototypes
        return state + self.mlp(state), prototypes, distances.amin(dim=2)

    def _kept(self, distances: Tensor) -> Tensor:
        """Only the nearest prototypes count: the others are as far as can be."""
        if not 0 < self.neighbours < distances.shape[2]:
            return distances
        limit = distances.topk(self.neighbours, dim=2, largest=False).values.amax(2, keepdim=True)
        return distances.masked_fill(distances > limit, _FAR)


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

    def forward(
        self, tokens: Tensor, prototypes: Tensor, beyond: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Rebuild `(B, N, D)` tokens from the `(B, K, D)` prototypes of each image.

        Returns:
            The rebuilt tokens `(B, N, D)`, and the mean squared distance `(B, N)` of each token to
            the nearest prototype once these have taken from the first level.
        """
        state, first = tokens, torch.zeros(())
        for number, (level, layer) in enumerate(zip(self.levels, self.layers, strict=True)):
            state, prototypes, nearest = layer(state, prototypes, tokens[..., level], beyond)
            first = nearest if number == 0 else first
        return state, first


def _distances(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Mean squared distances `(B, N, K)`."""
    lengths = prototypes.square().sum(dim=2).unsqueeze(1)
    own = tokens.square().sum(dim=2, keepdim=True)
    return (lengths - 2.0 * tokens @ prototypes.transpose(1, 2) + own) / tokens.shape[2]


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
