"""Pro-AD as operations on whole batches, which an export can follow."""

from __future__ import annotations

from torch import Tensor, nn

from normscape.detectors.bank_graph import BankGraph
from normscape.detectors.proad.decoder import NEVER, constrain
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
        self.neighbours = detector.local_bank.neighbours if detector.config.neighbours else 0
        self.temperature = detector.config.temperature

    def forward(self, tokens: Tensor, categories: Tensor, asked: Tensor) -> Tensor:
        """Rebuild tokens `(B, N, D)` from the prototypes of those `categories (B, m)` asked."""
        inside, category, _ = self.bank(tokens, categories, asked)
        prototypes, allowed = self._prototypes(inside, category)
        rebuilt, _ = self.decoder(inside, prototypes, allowed)
        return self.bank.spaces.differences(inside, rebuilt)

    def _prototypes(self, inside: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder takes: the nearest prototypes of each token, or all of the category."""
        if not self.neighbours:
            rows, padding = self.bank.rows(category)
            allowed = padding.to(inside.dtype).unsqueeze(1) * NEVER
            return self.bank.prototypes[rows].unsqueeze(1), allowed
        rows, ranks = self.bank.ranks(inside, category)
        places = ranks.topk(self.neighbours, dim=2, largest=False).indices
        nearest = self.bank.prototypes[rows.gather(1, places.flatten(1)).view(places.shape)]
        return nearest, constrain(inside, nearest, self.temperature)
