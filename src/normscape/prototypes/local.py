"""The local bank: what normal tokens look like, a fixed number of prototypes per category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normscape.prototypes.geometry import rank_distances
from normscape.prototypes.kmeans import kmeans

_TOKENS_PER_PROTOTYPE = 4
"""A prototype of fewer tokens than this would describe the tokens, not what is normal."""


@dataclass(frozen=True)
class LocalMatch:
    """What the bank knows about `M` tokens.

    Attributes:
        index: `(M, k)` the nearest prototypes, nearest first.
        aggregate: `(M, D)` their mean, weighted by `softmax(-d / temperature)`.
        distance: `(M,)` mean squared distance per dimension to the nearest one.
    """

    index: Tensor
    aggregate: Tensor
    distance: Tensor


class LocalBank(nn.Module):
    """Prototypes `(K, D)` of normal tokens with nearest-prototype aggregation.

    Args:
        prototypes: `(K, D)` initial prototypes, in the compressed space of `geometry`.
        neighbours: How many prototypes a token is compared with (at most `K` are used).
        temperature: Of the aggregation; on tokens of unit length it acts on the cosine.
    """

    def __init__(self, prototypes: Tensor, neighbours: int, temperature: float) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(prototypes.clone())
        self.neighbours = min(neighbours, len(prototypes))
        self.temperature = temperature

    def forward(self, tokens: Tensor) -> LocalMatch:
        """Look `(M, D)` tokens up; differentiable in the prototypes and the tokens."""
        with torch.no_grad():
            index = (
                rank_distances(tokens, self.prototypes)
                .topk(self.neighbours, dim=1, largest=False)
                .indices
            )
        nearest = self.prototypes[index]
        distances = (tokens.unsqueeze(1) - nearest).square().mean(dim=2)
        # 1 - cos is half the squared distance between unit vectors, hence the factor 2.
        weights = torch.softmax(-distances / (2.0 * self.temperature), dim=1)
        aggregate = (weights.unsqueeze(2) * nearest).sum(dim=1)
        return LocalMatch(index, aggregate, distances[:, 0])

    @classmethod
    def fit(
        cls,
        tokens: Sequence[Tensor],
        *,
        per_category: int,
        iterations: int,
        neighbours: int,
        temperature: float,
        seed: int,
    ) -> LocalBank:
        """Cluster each category's tokens on their own, so that the budget is per category.

        Args:
            tokens: One `(M_c, D)` tensor per category. The category is known in training only;
                inference searches the prototypes of all categories.
            per_category: Prototypes per category, fewer where there are few tokens.
            iterations: Of k-means.
            neighbours: See the class.
            temperature: See the class.
            seed: Of the clustering; the category's position is added to it.
        """
        centres = [
            kmeans(
                points.float(),
                max(1, min(per_category, len(points) // _TOKENS_PER_PROTOTYPE)),
                iterations,
                torch.Generator().manual_seed(seed + position),
            )
            for position, points in enumerate(tokens)
        ]
        return cls(torch.cat(centres), neighbours, temperature)


def local_loss(match: LocalMatch) -> Tensor:
    """`mean_i min_j |x_i - p_j|^2 / D`, which is `2 mean_i min_j (1 - cos)` on unit tokens."""
    return match.distance.mean()
