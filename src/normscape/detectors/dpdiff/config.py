"""The shape of a DPDiff detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from normscape.detectors.config import BankedConfig, whole


@dataclass(frozen=True)
class DPDiffConfig(BankedConfig):
    """The shape of a detector and how it scores; everything but the tensors.

    Attributes:
        local_prototypes: K_l of each category.
        local_neighbours: k, per token.
        global_prototypes: K_g.
        global_neighbours: m, per image.
        width: Of the denoiser.
        blocks: Of the denoiser.
        heads: Of its attention.
        timesteps: T.
        noise_step: Where the reconstruction starts.
        sampler_steps: Denoiser evaluations per reconstruction.
        noise_draws: Reconstructions that are averaged.
        prototype_share: Weight of the prototype distance in the map; at 1 there is no diffusion.
    """

    local_prototypes: tuple[int, ...]
    local_neighbours: int
    global_prototypes: int
    global_neighbours: int
    width: int
    blocks: int
    heads: int
    timesteps: int
    noise_step: int
    sampler_steps: int
    noise_draws: int
    prototype_share: float

    @property
    def diffuses(self) -> bool:
        """Whether the reconstruction has a part in the map."""
        return self.prototype_share < 1.0

    @classmethod
    def least_elements(cls, content: Mapping[str, Any]) -> int:
        """See `DetectorConfig`; local prototypes are stored in two bytes."""
        dimensions, local, width, tokens, draws, blocks = (
            whole(content.get(name))
            for name in (
                "dimensions", "local_prototypes", "width", "tokens", "noise_draws", "blocks",
            )
        )  # fmt: skip
        needs = [dimensions * local // 2]
        share = content.get("prototype_share")
        if isinstance(share, int | float) and share < 1.0:  # it diffuses
            needs += [dimensions * tokens * draws, width * width * blocks]
        return max(needs)


CONFIG = DPDiffConfig
