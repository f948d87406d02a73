"""What runs beside the line: scoring, monitoring, alerts, reviews, kinds of defects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from normscape.sections.base import Count, Positive, Probability, Section, Share, checked_place

Maps = Literal["overlay", "array", "both", "none"]
SeverityName = Literal["info", "warning", "critical"]


class ScoreParams(Section):
    """Scoring production images.

    Attributes:
        log: The score log's folder, relative to `params.yaml`, or `s3://bucket/prefix`; None:
            `scores` in the state folder.
        maps: What is drawn or written: overlays of flagged images, arrays of all, both, none.
        poll_seconds: How often a scorer that follows looks for images and at the alias.
        window_images: Of the feed, that a version which comes into production scores once more.
    """

    log: str | None = None
    maps: Maps = "overlay"
    batch_size: Count = 16
    random_sample: Share = 0.02
    category_alpha: Probability = 0.01
    poll_seconds: Positive = 2.0
    window_images: Annotated[int, Field(ge=0)] = 500

    @field_validator("log")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return None if value is None else str(checked_place(value))


class MonitorParams(Section):
    """Drift decisions per category, see docs/monitoring.md.

    Attributes:
        window_days: Days whose images are shown and tested for unknown products.
        history_days: Days that the usual level of a category is learned from, at most.
        min_images: Fewer of a category on a day wait for the next days'.
        false_alarms_per_year: Of drift and more defects, all categories together.
        min_effect: Least shift, in robust standard deviations of the reference.
        min_spread: Least factor by which the scores become wider.
        min_rise: Least rise of the share of images far above the body.
        day_to_day: Prior of the harmless daily offset, in the unit of `min_effect`.
        stale_effect: Least distance of the usual level from the reference, in the same unit.
        stale_probability: That any category is called stale although its reference holds.
    """

    window_days: Count = 1
    history_days: Annotated[int, Field(ge=1, le=1000)] = 120
    min_images: Count = 8
    false_alarms_per_year: Positive = 12.0
    min_effect: Positive = 0.3
    min_spread: Annotated[float, Field(gt=1.0)] = 1.25
    min_rise: Probability = 0.02
    day_to_day: Annotated[float, Field(ge=0)] = 0.2
    stale_effect: Positive = 0.5
    stale_probability: Probability = 0.05
    unknown_fdr: Probability = 0.01
    unknown_min_images: Count = 5
    unknown_share: Share = 0.6
    cooldown_hours: Annotated[float, Field(ge=0)] = 12.0


class AlertParams(Section):
    """What people are told of a finding, how urgent it is and when it is repeated.

    Attributes:
        blocks: Prefect notification blocks, `type/name`; the addresses are in the blocks alone.
        min_severity: Less severe alerts are events and in the store, not notified.
        notify_resolved: Whether those who were notified hear when it is over.
        cooldown_hours: Between two notices of an alert that is no worse than before.
        worse_factor: So many times as bad as at the last notice is worth another one.
        quiet_windows: Windows without the finding after which its alert is resolved.
        critical_effect: Standard deviations from which a drift is critical.
        critical_defect_factor: Times the usual defect rate from which a rise is critical.
        critical_categories: From so many categories at once a finding of each is critical.
        timeout_seconds: For one notification.
        retry_minutes: After a failed try; doubles with each.
        retry_max_hours: The longest wait between two tries.
    """

    blocks: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()
    min_severity: SeverityName = "warning"
    notify_resolved: bool = True
    cooldown_hours: Annotated[float, Field(ge=0)] = 72.0
    worse_factor: Annotated[float, Field(gt=1.0)] = 1.5
    quiet_windows: Count = 3
    critical_effect: Positive = 2.0
    critical_defect_factor: Annotated[float, Field(gt=1.0)] = 3.0
    critical_categories: Annotated[int, Field(ge=2)] = 3
    timeout_seconds: Positive = 10.0
    retry_minutes: Positive = 5.0
    retry_max_hours: Positive = 6.0


class ReviewParams(Section):
    """The inbox of images that wait for a person."""

    test_percent: Annotated[int, Field(ge=0, le=90)] = 25
    max_images: Count = 2000
    window_images: Count = 500


class DiscoveryParams(Section):
    """Which kinds of defects there are.

    Attributes:
        object_prior: How the object is told from its background.
        sam: Folder of SAM's weights, relative to params.yaml; needed where the prior is `sam`.
        grounding: Folder of Grounding DINO's weights; None: the middle of a picture is the object.
        prompt: What Grounding DINO looks for.
        regions: Of an image, at most.
        views: Of a region, from which the space is learned; a new image is assigned by three.
        guidance: The region guidance factor: how much more a region's peak counts than its rim.
        surroundings: Share of a region's normal surroundings that is taken from it.
        dimensions: Of the space, at most.
        types: The number of kinds in every category; None: it is estimated.
        max_types: The largest number that is tried.
        min_images: Of a kind on average, at least; and of a new kind.
        min_stability: Agreement of two halves of the images, from 0 of one cloud to 1, below which
            there is only one kind.
        unseen_alpha: p-value below which an image belongs to no known kind.
        refit_growth: Times as many images as the space was learned from: then it is learned anew.
    """

    seed: int = 0
    object_prior: Literal["pca", "sam", "none"] = "pca"
    sam: Path | None = None
    grounding: Path | None = None
    prompt: Annotated[str, Field(min_length=1)] = "an object."
    regions: Count = 3
    views: Annotated[int, Field(ge=3)] = 12
    guidance: Positive = 3.0
    surroundings: Share = 1.0
    dimensions: Annotated[int, Field(ge=2)] = 64
    types: Count | None = None
    max_types: Annotated[int, Field(ge=2)] = 12
    min_images: Annotated[int, Field(ge=2)] = 5
    min_stability: Share = 0.1
    unseen_alpha: Probability = 0.05
    refit_growth: Annotated[float, Field(gt=1)] = 2.0


class RetentionParams(Section):
    """What `normscape prune` removes; None: nothing because of it.

    Attributes:
        log_days: Older days leave the score log.
        log_gib: The oldest days leave the score log until its parts have at most so many GiB.
        maps_days: Maps and overlays of older days go.
        maps_gib: Those of the oldest days go until all have at most so many GiB.
        monitor_days: The monitor's pages of older days go.
    """

    log_days: Count | None = None
    log_gib: Positive | None = None
    maps_days: Count | None = None
    maps_gib: Positive | None = None
    monitor_days: Count | None = None
