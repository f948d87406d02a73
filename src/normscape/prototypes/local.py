"""The local bank: what normal tokens look like, a number of prototypes per category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normscape.prototypes.geometry import coarse_ranks
from normscape.prototypes.kmeans import kmeans

_TOKENS_PER_PROTOTYPE = 4
"""A prototype of fewer tokens than this would describe the tokens, not what is normal."""
_SPARE = 3
"""Candidates beyond those wanted that are ranked again in full precision."""
_FREEZE_ROWS = 16384


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

    A token is compared with the prototypes of one category, in that category's space, so the cost
    of a lookup does not grow with the number of categories. Once frozen, the prototypes are kept
    in bfloat16: half the memory, and no conversion at every lookup. Distances to them are exact.

    Args:
        prototypes: `(K, D)` initial prototypes, category by category, each in its category's
            space.
        sizes: Prototypes of each category; their sum is K.
        neighbours: How many prototypes a token is compared with, at most the smallest category's.
        temperature: Of the aggregation; on tokens of unit length it acts on the cosine.
    """

    _squared: Tensor | None

    def __init__(
        self, prototypes: Tensor, sizes: Sequence[int], neighbours: int, temperature: float
    ) -> None:
        super().__init__()
        if sum(sizes) != len(prototypes):
            raise ValueError(f"{len(prototypes)} prototypes, but sizes {list(sizes)}")
        self.prototypes = nn.Parameter(prototypes.clone())
        self.sizes = tuple(sizes)
        self.neighbours = min(neighbours, *sizes) if sizes else neighbours
        self.temperature = temperature
        self._ends = torch.tensor(sizes).cumsum(0).tolist()
        self.register_buffer("_squared", None, persistent=False)

    def forward(self, tokens: Tensor, category: int, ranks: Tensor | None = None) -> LocalMatch:
        """Look `(M, D)` tokens up in a category; differentiable in the prototypes and the tokens.

        Args:
            tokens: In the space of the category.
            category: Whose prototypes are searched.
            ranks: What `ranks` returned for them, if it is known already.
        """
        index = self.indices(tokens, category, ranks)
        nearest = self.prototypes[index].float()
        distances = (tokens.unsqueeze(1) - nearest).square().mean(dim=2)
        # 1 - cos is half the squared distance between unit vectors, hence the factor 2.
        weights = torch.softmax(-distances / (2.0 * self.temperature), dim=1)
        aggregate = (weights.unsqueeze(2) * nearest).sum(dim=1)
        return LocalMatch(index, aggregate, distances[:, 0])

    @torch.no_grad()
    def freeze(self) -> None:
        """Round the prototypes to bfloat16 and keep their lengths; they are not trained again."""
        self.prototypes = nn.Parameter(self.prototypes.bfloat16(), requires_grad=False)
        parts = torch.split(self.prototypes, _FREEZE_ROWS)
        self._squared = torch.cat([part.float().square().sum(dim=1) for part in parts])

    @torch.no_grad()
    def nearest(self, tokens: Tensor, category: int, ranks: Tensor | None = None) -> Tensor:
        """The nearest prototype `(M, D)` of each token alone, without the cost of a match."""
        return self.prototypes[self._nearest(tokens, category, 1, ranks)[:, 0]].float()

    @torch.no_grad()
    def ranks(self, tokens: Tensor, category: int) -> Tensor:
        """`|p|^2 - 2 x p` of `(M, D)` tokens and a category's prototypes: `(M, K_c)`.

        In bfloat16 where the processor multiplies it natively, which is several times faster:
        good enough to find candidates, not to tell the nearest of them.
        """
        rows = self._rows(category)
        prototypes = self.prototypes[rows]
        squared = prototypes.square().sum(1) if self._squared is None else self._squared[rows]
        return coarse_ranks(tokens, prototypes, squared)

    def indices(self, tokens: Tensor, category: int, ranks: Tensor | None = None) -> Tensor:
        """The rows `(M, k)` of the prototypes nearest to tokens `(M, D)`; see `forward`."""
        return self._nearest(tokens, category, self.neighbours, ranks)

    @torch.no_grad()
    def _nearest(
        self, tokens: Tensor, category: int, count: int, ranks: Tensor | None = None
    ) -> Tensor:
        """Indices `(M, count)`, nearest first in full precision."""
        ranks = self.ranks(tokens, category) if ranks is None else ranks
        some = min(count + _SPARE, ranks.shape[1])
        found = ranks.topk(some, largest=False, sorted=False).indices
        index = found + self._rows(category).start
        exact = (tokens.unsqueeze(1) - self.prototypes[index].float()).square().sum(dim=2)
        nearest: Tensor = index.gather(1, exact.topk(count, largest=False).indices)
        return nearest

    def of_category(self, category: int) -> Tensor:
        """The prototypes `(K_c, D)` of one category, of the dtype that they are kept in."""
        return self.prototypes[self._rows(category)]

    def _rows(self, category: int) -> slice:
        return slice(self._ends[category] - self.sizes[category], self._ends[category])

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
            tokens: One `(M_c, D)` tensor per category, in its space.
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
                spread=True,
            )
            for position, points in enumerate(tokens)
        ]
        return cls(torch.cat(centres), [len(part) for part in centres], neighbours, temperature)


def local_loss(match: LocalMatch) -> Tensor:
    """`mean_i min_j |x_i - p_j|^2 / D`, which is `2 mean_i min_j (1 - cos)` on unit tokens."""
    return match.distance.mean()
