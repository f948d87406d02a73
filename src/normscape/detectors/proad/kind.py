"""Pro-AD as a detector that can be chosen."""

from __future__ import annotations

from typing import Any

import torch

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
    settings, own = params.detector, params.proad
    if settings.width % settings.heads:
        raise UsageError(
            f"detector.width is {settings.width}, detector.heads is {settings.heads}; expected a "
            "width that the heads divide"
        )
    if not prototypes.transform.level_sizes:
        raise UsageError(
            "the prototypes were fitted for another detector, their tokens mix the feature "
            "levels; run the prototypes stage again"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        detector = ProAD(
            ProADConfig(
                tokens=prototypes.transform.tokens,
                dimensions=prototypes.transform.dimensions,
                level_sizes=prototypes.transform.level_sizes,
                prototypes=prototypes.local_sizes,
                neighbours=own.neighbours or 0,
                temperature=params.prototypes.temperature,
                norm_power=prototypes.spaces.norm_power,
                width=settings.width,
                layers=settings.blocks,
                heads=settings.heads,
            )
        )
    with torch.no_grad():
        detector.spaces.load_state_dict(prototypes.spaces.state_dict())
        detector.local_bank.prototypes.copy_(prototypes.local)
    return detector


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
