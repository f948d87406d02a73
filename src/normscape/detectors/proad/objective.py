"""What Pro-AD is trained for: `L = mean w (Σ_l (1 - cos_l) / L + v |x̂ - x|² / D) + λ coherence`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from normscape.detectors.banked import network_and_banks, training_of
from normscape.detectors.batches import Batch
from normscape.detectors.proad.detector import ProAD
from normscape.params import Params
from normscape.training.loop import Group

_SQUARED_WEIGHT = 0.5


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
        self.training = training_of(params.detector)

    def groups(self) -> Sequence[Group]:
        """The decoder, and the prototypes."""
        detector = self.detector
        return network_and_banks(detector.decoder.parameters(), [detector.local_bank.prototypes])

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
