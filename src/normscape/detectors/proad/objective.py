"""What Pro-AD is trained for: `L = mean w (Σ_l (1 - cos_l) / L + v |x̂ - x|² / D) + λ coherence`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from normscape.detectors.base import Training
from normscape.detectors.batches import Batch
from normscape.detectors.proad.detector import ProAD
from normscape.params import Params
from normscape.training.loop import Group

_IMAGES = 16
_SQUARED_WEIGHT = 0.5
_BANK_RATE = 0.1
"""Learning rate of the prototypes relative to the decoder's: they start where k-means left them."""
_WEIGHT_DECAY = 1e-4


class ProADObjective:
    """The objective of a detector whose prototypes are initialised.

    Args:
        detector: Trained in place, on its device.
        params: Sections `detector` and `proad`.
    """

    names: tuple[str, ...] = ("loss", "rebuilt", "coherence")

    def __init__(self, detector: ProAD, params: Params) -> None:
        self.detector = detector
        self._own = params.proad
        settings = params.detector
        self.training = Training(
            seed=settings.seed,
            steps=settings.steps,
            images=_IMAGES,
            tokens=max(1, settings.batch_tokens // _IMAGES),
            learning_rate=settings.learning_rate,
            patience=settings.patience,
            checkpoint_seconds=settings.checkpoint_seconds,
        )

    def groups(self) -> Sequence[Group]:
        """The decoder, and the prototypes."""
        decoder = [*self.detector.decoder.parameters()]
        bank = [self.detector.local_bank.prototypes]
        return Group(decoder, 1.0, _WEIGHT_DECAY), Group(bank, _BANK_RATE, 0.0)

    def start(self, batches: Iterable[Batch]) -> None:
        """Nothing: k-means and an untrained decoder are a detector already."""

    def losses(self, batch: Batch) -> Sequence[Tensor]:
        """Rebuild noisy tokens; the sum and its parts."""
        tokens = self.detector.spaces.enter(batch.tokens, batch.category)
        noise = torch.randn(tokens.shape, generator=batch.generator()).to(tokens.device)
        rebuilt, nearest = self.detector.rebuild(tokens + self._own.noise * noise, batch.category)
        error = self._error(rebuilt, tokens)
        weight = (error.detach() / error.detach().mean().clamp_min(1e-6)).pow(self._own.hardness)
        weighted, coherence = (weight * error).mean(), nearest.mean()
        return weighted + self._own.coherence * coherence, weighted, coherence

    def held_out(self, batch: Batch) -> Tensor:
        """The error without noise and without weights."""
        tokens = self.detector.spaces.enter(batch.tokens, batch.category)
        rebuilt, _ = self.detector.rebuild(tokens, batch.category)
        return self._error(rebuilt, tokens).mean()

    def state(self) -> dict[str, Tensor]:
        """Nothing is kept from step to step."""
        return {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """See `state`."""

    def _error(self, rebuilt: Tensor, tokens: Tensor) -> Tensor:
        """`(B, T)`: directions level by level, and lengths."""
        sizes = list(self.detector.config.level_sizes)
        parts = zip(
            torch.split(rebuilt, sizes, dim=-1), torch.split(tokens, sizes, dim=-1), strict=True
        )
        cosines = [
            1.0 - functional.cosine_similarity(ours, theirs, dim=-1) for ours, theirs in parts
        ]
        squared = (rebuilt - tokens).square().mean(dim=-1)
        return torch.stack(cosines).mean(dim=0) + _SQUARED_WEIGHT * squared
