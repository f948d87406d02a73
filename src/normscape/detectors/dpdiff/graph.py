"""DPDiff as operations on whole batches, which an export can follow."""

from __future__ import annotations

from torch import Tensor, nn

from normscape.detectors.bank_graph import BankGraph
from normscape.detectors.dpdiff.detector import DPDiff
from normscape.errors import NormscapeError


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
        self.bank = BankGraph(detector.spaces, detector.local_bank)

    def forward(self, tokens: Tensor, categories: Tensor, asked: Tensor) -> Tensor:
        """Compare tokens `(B, N, D)` with the prototypes of those `categories (B, m)` asked."""
        inside, _, nearest = self.bank(tokens, categories, asked)
        return self.bank.spaces.differences(inside, nearest)
