"""Pro-AD as operations on whole batches, which an export can follow."""

from __future__ import annotations

from torch import Tensor, nn

from normscape.detectors.bank_graph import BankGraph
from normscape.detectors.proad.detector import ProAD


class ProADGraph(nn.Module):
    """Token scores `(B, N, 2)` of whole batches.

    Args:
        detector: A frozen one.
    """

    def __init__(self, detector: ProAD) -> None:
        super().__init__()
        self.bank = BankGraph(detector.spaces, detector.local_bank)
        self.decoder = detector.decoder

    def forward(self, tokens: Tensor, categories: Tensor, asked: Tensor) -> Tensor:
        """Rebuild tokens `(B, N, D)` from the prototypes of those `categories (B, m)` asked."""
        inside, category, _ = self.bank(tokens, categories, asked)
        rows, beyond = self.bank.rows(category)
        rebuilt, _ = self.decoder(inside, self.bank.prototypes[rows], beyond)
        return self.bank.spaces.differences(inside, rebuilt)
