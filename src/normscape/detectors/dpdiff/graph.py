"""DPDiff as operations on whole batches, which an export can follow.

`DPDiff` walks through a batch image by image and through Python numbers. Here an image's nearest
categories are indices, and the prototypes of a category, whose number differs, rows that are
gathered and masked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normscape.detectors.dpdiff.detector import DPDiff
from normscape.errors import NormscapeError
from normscape.prototypes.local import LocalBank

_FAR = 1e30


class DPDiffGraph(nn.Module):
    """Token scores `(B, N, 2)` of whole batches.

    Args:
        detector: A frozen one without diffusion.

    Raises:
        NormscapeError: Its maps need the diffusion, which has no export.
    """

    def __init__(self, detector: DPDiff) -> None:
        super().__init__()
        if detector.config.diffuses:
            raise NormscapeError(
                "the model was made with detector.prototype_share "
                f"{detector.config.prototype_share:g}, and only models without the diffusion (1, "
                "the default) can be exported; set it to 1 and train again"
            )
        self.spaces = detector.spaces
        self.bank = BankGraph(detector.local_bank)

    def forward(self, tokens: Tensor, categories: Tensor, asked: Tensor) -> Tensor:
        """Compare tokens `(B, N, D)` with the prototypes of those `categories (B, m)` asked."""
        inside = self.spaces.enter(tokens.unsqueeze(1), categories)
        misfit, rows = self.bank(inside, categories)
        best = misfit.masked_fill(~asked, _FAR).argmin(dim=1)
        nearest = self.bank.prototypes[_chosen(rows, best)]
        return self.spaces.differences(_chosen(inside, best), nearest)


class BankGraph(nn.Module):
    """`LocalBank` for several categories of several images at once, ranked in full precision.

    The prototypes stay as they are, one category after the other. Memory grows with the batch and
    with the largest category, `(B, m, K, D)`, and not with the number of categories.
    """

    prototypes: Tensor
    lengths: Tensor
    starts: Tensor
    sizes: Tensor
    places: Tensor

    def __init__(self, bank: LocalBank) -> None:
        super().__init__()
        sizes = torch.tensor(bank.sizes)
        prototypes = bank.prototypes.detach().float()
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("lengths", prototypes.square().sum(dim=1))
        self.register_buffer("starts", sizes.cumsum(0) - sizes)
        self.register_buffer("sizes", sizes)
        self.register_buffer("places", torch.arange(max(bank.sizes)))

    def forward(self, inside: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest prototype of each token in each of its image's categories.

        Args:
            inside: `(B, m, N, D)` in the spaces of the categories.
            categories: `(B, m)`.

        Returns:
            The mean squared distance of an image to a category `(B, m)`, and the rows of the
            nearest prototypes `(B, m, N)`.
        """
        beyond = self.places >= self.sizes[categories].unsqueeze(-1)
        rows = (self.starts[categories].unsqueeze(-1) + self.places).clamp_max(
            len(self.prototypes) - 1
        )
        lengths = self.lengths[rows].masked_fill(beyond, _FAR)
        near = self.prototypes[rows].transpose(2, 3)
        ranks = lengths.unsqueeze(2) - 2.0 * (inside @ near)
        lowest, place = ranks.min(dim=3)
        misfit = (lowest + inside.square().sum(dim=3)).mean(dim=2)
        return misfit, self.starts[categories].unsqueeze(-1) + place


def _chosen(values: Tensor, best: Tensor) -> Tensor:
    """`(B, ...)`: of `values (B, m, ...)` the `best (B,)` one of each image."""
    index = best.view(-1, *[1] * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index)[:, 0]
