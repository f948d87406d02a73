"""Pro-AD as a detector that can be chosen."""

from __future__ import annotations

from typing import Any

from normscape.detectors.banked import build_seeded
from normscape.detectors.base import Kind
from normscape.detectors.proad.config import ProADConfig
from normscape.detectors.proad.detector import ProAD
from normscape.detectors.proad.graph import ProADGraph
from normscape.detectors.proad.objective import ProADObjective
from normscape.errors import UsageError
from normscape.params import Params
from normscape.prototypes.artifact import Prototypes


def build(params: Params, prototypes: Prototypes) -> ProAD:
    """A detector with the fitted prototypes and an untrained, seeded decoder.

    Raises:
        UsageError: The heads do not divide the width, or the prototypes were fitted for another
            detector.
    """
    settings, transform = params.detector, prototypes.transform
    if not transform.level_sizes:
        raise UsageError(
            "the prototypes were fitted for another detector, their tokens mix the feature "
            "levels; run the prototypes stage again"
        )
    config = ProADConfig(
        tokens=transform.tokens,
        dimensions=transform.dimensions,
        level_sizes=transform.level_sizes,
        prototypes=prototypes.local_sizes,
        neighbours=params.proad.neighbours or 0,
        temperature=params.prototypes.temperature,
        norm_power=prototypes.spaces.norm_power,
        width=settings.width,
        layers=settings.blocks,
        heads=settings.heads,
    )
    return build_seeded(lambda: ProAD(config), settings, prototypes)


def _empty(config: Any) -> ProAD:
    return ProAD(config, frozen=True)


KIND = Kind(
    empty=_empty,
    build=build,
    trains=lambda _: True,
    objective=ProADObjective,
    graph=ProADGraph,
    prototypes=lambda params: params.proad.prototypes,
    by_level=True,
    sections=("detector", "proad"),
    scoring=lambda _: {},
)
