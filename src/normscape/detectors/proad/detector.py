"""Pro-AD: tokens are compared with what a decoder rebuilds from the prototypes of normal ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from normscape.detectors.banked import BankedDetector
from normscape.detectors.proad.config import ProADConfig
from normscape.detectors.proad.decoder import NEVER, Decoder, constrain
from normscape.detectors.settle import settle
from normscape.prototypes.padded import PaddedRows


class ProAD(BankedDetector):
    """The detector; see docs/methods.md.

    Args:
        config: The shape; the tensors are empty until trained or loaded.
        frozen: Whether its prototypes will be loaded as `freeze` left them.
    """

    name = "proad"
    config: ProADConfig

    def __init__(self, config: ProADConfig, *, frozen: bool = False) -> None:
        # The farthest of the neighbours says where the others end.
        super().__init__(config, config.prototypes, config.neighbours + 1, frozen=frozen)
        self.rows = PaddedRows(config.prototypes)
        self.decoder = Decoder(config)

    def token_scores(self, tokens: Tensor, categories: Tensor) -> Tensor:
        """How far tokens `(B, N, D)` are from what is rebuilt of them: `(B, N, 2)`.

        One image at a time, for the same bits whatever the batch.
        """
        scores = []
        for image, routes in zip(tokens, categories.tolist(), strict=True):
            inside, category, ranks = settle(self.spaces, self.local_bank, image, routes)
            rebuilt, _ = self.rebuild(
                inside.unsqueeze(0), torch.tensor([category], device=tokens.device), [ranks]
            )
            scores.append(self.spaces.differences(inside, rebuilt[0]))
        return torch.stack(scores)

    def rebuild(
        self, tokens: Tensor, category: Tensor, ranks: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """What `Decoder.forward` returns, for images of several categories at once.

        Args:
            tokens: `(B, N, D)` in the spaces of the categories.
            category: `(B,)`.
            ranks: What `LocalBank.ranks` returned for each image, if it is known already.
        """
        if not self.config.neighbours:
            rows, padding = self.rows(category)
            prototypes = self.local_bank.prototypes[rows].float().unsqueeze(1)
            allowed = tokens.new_zeros(padding.shape).masked_fill(padding, NEVER).unsqueeze(1)
        else:
            known: Sequence[Tensor | None] = ranks or [None] * len(tokens)
            images = zip(tokens, category.tolist(), known, strict=True)
            rows = torch.stack([self.local_bank.indices(*image) for image in images])
            prototypes = self.local_bank.prototypes[rows].float()
            allowed = constrain(tokens, prototypes, self.config.temperature)
        found: tuple[Tensor, Tensor] = self.decoder(tokens, prototypes, allowed)
        return found

    def fit_scales(self, images: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Both scores are distances in the space of a category, which has its scale already."""
