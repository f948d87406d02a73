"""The lookup of images in the banks as operations on whole batches, which an export can follow.

`settle` walks through a batch image by image and through Python numbers. Here an image's nearest
categories are indices, and the prototypes of a category, whose number differs, rows that are
gathered and masked.
"""

from __future__ import annotations

from torch import Tensor, nn

from normscape.prototypes.local import LocalBank
from normscape.prototypes.padded import PaddedRows
from normscape.prototypes.spaces import CategorySpaces

FAR = 1e30


class BankGraph(nn.Module):
    """`settle` for several categories of several images at once, in full precision.

    The prototypes stay as they are, one category after the other. Memory grows with the batch and
    with the largest category, `(B, m, K, D)`, and not with the number of categories.

    Args:
        spaces: Of the categories.
        bank: Their prototypes, frozen.
    """

    prototypes: Tensor
    lengths: Tensor

    def __init__(self, spaces: CategorySpaces, bank: LocalBank) -> None:
        super().__init__()
        self.spaces = spaces
        self.rows = PaddedRows(bank.sizes)
        prototypes = bank.prototypes.detach().float()
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("lengths", prototypes.square().sum(dim=1))

    def forward(
        self, tokens: Tensor, categories: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Settle each image in the category that explains it best.

        Args:
            tokens: `(B, N, D)`.
            categories: `(B, m)` that the images may be of.
            asked: `(B, m)` which of them count.

        Returns:
            The tokens `(B, N, D)` in the space of the category, the category `(B,)`, and the
            nearest prototype of each token `(B, N, D)`.
        """
        inside = self.spaces.enter(tokens.unsqueeze(1), categories)
        rows, ranks = self.ranks(inside, categories)
        lowest, place = ranks.min(dim=3)
        misfit = (lowest + inside.square().sum(dim=3)).mean(dim=2)
        best = misfit.masked_fill(~asked, FAR).argmin(dim=1, keepdim=True)
        nearest = self.prototypes[_chosen(rows, best).gather(1, _chosen(place, best))]
        return _chosen(inside, best), categories.gather(1, best)[:, 0], nearest

    def ranks(self, inside: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `(..., K)` of the prototypes of `categories (...)`, and `|p|² - 2 x p (..., N, K)`.

        Args:
            inside: Tokens `(..., N, D)` in the spaces of the categories.
            categories: `(...)`.
        """
        rows, beyond = self.rows(categories)
        lengths = self.lengths[rows].masked_fill(beyond, FAR).unsqueeze(-2)
        return rows, lengths - 2.0 * (inside @ self.prototypes[rows].transpose(-1, -2))


def _chosen(values: Tensor, best: Tensor) -> Tensor:
    """`(B, ...)`: of `values (B, m, ...)` the `best (B, 1)` one of each image."""
    index = best.view(-1, *[1] * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index)[:, 0]
