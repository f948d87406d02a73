"""DPDiff as a detector that can be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from normscape.detectors.banked import build_seeded
from normscape.detectors.base import Kind
from normscape.detectors.dpdiff.config import DPDiffConfig
from normscape.detectors.dpdiff.detector import DPDiff
from normscape.detectors.dpdiff.graph import DPDiffGraph
from normscape.detectors.dpdiff.objective import DPDiffObjective
from normscape.errors import UsageError
from normscape.params import Params
from normscape.prototypes.artifact import Prototypes
from normscape.sections.model import DetectorParams

_DIFFUSING = 0.5  # a share below 1; which one makes no difference to the training


def build(params: Params, prototypes: Prototypes) -> DPDiff:
    """A detector with the fitted banks and an untrained, seeded denoiser.

    Raises:
        UsageError: Parameters contradict each other.
    """
    settings, banks = params.detector, params.prototypes
    _check(settings)
    config = DPDiffConfig(
        tokens=prototypes.transform.tokens,
        dimensions=prototypes.transform.dimensions,
        local_prototypes=prototypes.local_sizes,
        local_neighbours=banks.local_neighbours,
        global_prototypes=len(prototypes.globally),
        global_neighbours=banks.global_neighbours,
        temperature=banks.temperature,
        norm_power=prototypes.spaces.norm_power,
        width=settings.width,
        blocks=settings.blocks,
        heads=settings.heads,
        timesteps=settings.timesteps,
        noise_step=settings.noise_step,
        sampler_steps=settings.sampler_steps,
        noise_draws=settings.noise_draws,
        prototype_share=settings.prototype_share,
    )
    detector = build_seeded(lambda: DPDiff(config), settings, prototypes)
    with torch.no_grad():
        detector.global_bank.prototypes.copy_(prototypes.globally)
    return detector


def _check(settings: DetectorParams) -> None:
    if settings.noise_step > settings.timesteps:
        raise UsageError(
            f"detector.noise_step is {settings.noise_step}, but detector.timesteps is "
            f"{settings.timesteps}; expected at most as many"
        )
    if settings.sampler_steps > settings.noise_step:
        raise UsageError(
            f"detector.sampler_steps is {settings.sampler_steps}, but detector.noise_step is "
            f"{settings.noise_step}; expected at most as many"
        )


def _empty(config: Any) -> DPDiff:
    return DPDiff(config, frozen=True)


def _scoring(params: Params) -> Mapping[str, Any]:
    usual = DetectorParams()
    return {
        "detector.prototype_share": _DIFFUSING if params.detector.diffuses else 1.0,
        "detector.sampler_steps": usual.sampler_steps,
        "detector.noise_step": usual.noise_step,
    }


KIND = Kind(
    empty=_empty,
    build=build,
    trains=lambda params: params.detector.diffuses,
    objective=DPDiffObjective,
    graph=DPDiffGraph,
    prototypes=lambda params: params.prototypes.local_per_category,
    by_level=False,
    sections=("detector",),
    scoring=_scoring,
)
