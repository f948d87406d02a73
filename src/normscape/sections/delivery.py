"""How a model is judged, registered, exported and trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from normscape.sections.base import Count, Positive, Probability, Section, Share, checked_place


class EvaluateParams(Section):
    """What is measured and shown."""

    aupro_limit: Annotated[float, Field(gt=0, le=1)] = 0.3
    gallery_images: Annotated[int, Field(ge=0)] = 8
    confidence: Probability = 0.95
    credits: dict[str, str] = Field(default_factory=dict)


class GateParams(Section):
    """What a model must reach, and not lose against the champion, before it may serve."""

    min_mean_image_auroc: Share = 0.70
    min_worst_image_auroc: Share = 0.55
    min_mean_pixel_auroc: Share = 0.80
    max_false_positive_rate: Share = 0.20
    confidence: Probability = 0.95
    champion_tolerance: Share = 0.02
    champion_category_tolerance: Share = 0.05
    escape_tolerance: Share = 0.05
    false_alarm_tolerance: Share = 0.05


class RegistryParams(Section):
    """Where model bundles are kept, and which of them garbage collection spares.

    Attributes:
        root: A folder, relative to `params.yaml`, or `s3://bucket/prefix`; None: `registry` in the
            state folder.
        keep_versions: This many of the newest versions.
        keep_days: Versions that are younger, in days.
    """

    root: str | Path | None = Field(default=None, union_mode="left_to_right")
    keep_versions: Count = 10
    keep_days: Annotated[float, Field(ge=0)] = 30.0

    @field_validator("root")
    @classmethod
    def _is_an_address(cls, value: str | Path | None) -> str | Path | None:
        return checked_place(value)


class ExportParams(Section):
    """How far an exported model may be from the bundle; units are in docs/export.md."""

    images: Annotated[int, Field(ge=8)] = 64
    score_tolerance: Positive = 0.01
    map_tolerance: Positive = 0.05


class TrainParams(Section):
    """How the training flow runs its stages."""

    gpu_pool: str | None = None
    stage_timeout_minutes: Positive = 720.0
