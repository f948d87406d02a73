"""The shape of a Pro-AD detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from normscape.detectors.config import BankedConfig, whole


@dataclass(frozen=True)
class ProADConfig(BankedConfig):
    """The shape of a detector; everything but the tensors.

    Attributes:
        level_sizes: How many of a token's D numbers are of each feature level.
        prototypes: K of each category.
        neighbours: Prototypes that a token is rebuilt from; 0: from all of its category's.
        width: Of the attention.
        layers: Of the decoder.
        heads: Of the attention.
    """

    level_sizes: tuple[int, ...]
    prototypes: tuple[int, ...]
    neighbours: int
    width: int
    layers: int
    heads: int

    @classmethod
    def least_elements(cls, content: Mapping[str, Any]) -> int:
        """See `DetectorConfig`; prototypes are stored in two bytes."""
        dimensions, prototypes, width, layers = (
            whole(content.get(name)) for name in ("dimensions", "prototypes", "width", "layers")
        )
        return max(dimensions * prototypes // 2, dimensions * width * layers)


CONFIG = ProADConfig
