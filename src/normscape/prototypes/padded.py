"""Prototypes of several categories at once, although categories have different numbers of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PaddedRows(nn.Module):
    """Where the prototypes of categories lie in a bank, as many rows for each as the largest has.

    Args:
        sizes: Prototypes of each category, which lie one after the other.
    """

    starts: Tensor
    sizes: Tensor
    places: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.total = sum(sizes)
        counts = torch.tensor(sizes, dtype=torch.long)
        self.register_buffer("starts", counts.cumsum(0) - counts, persistent=False)
        self.register_buffer("sizes", counts, persistent=False)
        self.register_buffer("places", torch.arange(max(sizes)), persistent=False)

    def forward(self, categories: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the bank `(..., K)` for categories `(...)`, and which are only padding."""
        beyond = self.places >= self.sizes[categories].unsqueeze(-1)
        rows = self.starts[categories].unsqueeze(-1) + self.places
        return rows.clamp_max(self.total - 1), beyond
