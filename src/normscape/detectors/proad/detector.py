"""Pro-AD: tokens are compared with what a decoder rebuilds from the prototypes of normal ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from normscape.detectors.base import Detector
from normscape.detectors.proad.config import ProADConfig
from normscape.detectors.proad.decoder import Decoder
from normscape.detectors.settle import settle
from normscape.prototypes.local import LocalBank
from normscape.prototypes.padded import PaddedRows
from normscape.prototypes.spaces import CategorySpaces


class ProAD(Detector):
    """The detector; see docs/methods.md.

    Args:
        config: The shape; the tensors are empty until trained or loaded.
        frozen: Whether its prototypes will be loaded as `freeze` left them.
    """

    name = "proad"
    config: ProADConfig

    def __init__(self, config: ProADConfig, *, frozen: bool = False) -> None:
        super().__init__()
        self.config = config
        categories = len(config.prototypes)
        self.spaces = CategorySpaces(
            torch.zeros(categories, config.dimensions), torch.ones(categories), config.norm_power
        )
        dtype = torch.bfloat16 if frozen else torch.float32
        self.local_bank = LocalBank(
            torch.zeros(sum(config.prototypes), config.dimensions, dtype=dtype),
            config.prototypes,
            1,
            config.temperature,
        )
        self.rows = PaddedRows(config.prototypes)
        self.decoder = Decoder(config)

    def token_scores(self, tokens: Tensor, categories: Tensor) -> Tensor:
        """How far tokens `(B, N, D)` are from what is rebuilt of them: `(B, N, 2)`.

        One image at a time, for the same bits whatever the batch.
        """
        scores = []
        for image, routes in zip(tokens, categories.tolist(), strict=True):
            inside, category, _ = settle(self.spaces, self.local_bank, image, routes)
            prototypes = self.local_bank.of_category(category).float()
            rebuilt, _ = self.decoder(inside.unsqueeze(0), prototypes.unsqueeze(0))
            scores.append(self.spaces.differences(inside, rebuilt[0]))
        return torch.stack(scores)

    def rebuild(self, tokens: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """What `Decoder.forward` returns, for images of several categories at once.

        Args:
            tokens: `(B, N, D)` in the spaces of the categories.
            category: `(B,)`.
        """
        rows, beyond = self.rows(category)
        found: tuple[Tensor, Tensor] = self.decoder(
            tokens, self.local_bank.prototypes[rows], beyond
        )
        return found

    def freeze(self) -> None:
        """End the training: what is scored with is what is stored."""
        self.local_bank.freeze()

    def fit_scales(self, images: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Both scores are distances in the space of a category, which has its scale already."""
