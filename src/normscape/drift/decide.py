"""The verdict of each known category: quiet, drift, more defects, stale, too few images, silent."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from normscape.drift.budget import LOOKS
from normscape.drift.history import History
from normscape.drift.reference import Reference
from normscape.drift.replay import Replay, ratio_of_width, replay, trend
from normscape.drift.robust import MIN_REFERENCE
from normscape.drift.silence import Silence, find_silent
from normscape.sections.production import MonitorParams

_WORDS = {
    "mean_intensity": ("darker", "brighter"),
    "std_intensity": ("less contrast", "more contrast"),
    "sharpness": ("blurrier", "sharper"),
}
_STALE_DAYS = 14
_LARGEST = 1e9  # what JSON shows instead of infinity


class Verdict(StrEnum):
    """What is said of one category; the first that applies, in this order."""

    DRIFT = "drift"
    """The body of its scores has left the usual level, or changed its width."""
    RISING = "rising"
    """The body is where it was, but more images lie far above it."""
    MISSING = "missing"
    """It stays away longer than its habit explains."""
    STALE = "stale"
    """Day for day it is quiet, but its usual level is not that of the model's reference."""
    QUIET = "quiet"
    TOO_FEW = "too_few"
    SILENT = "silent"


@dataclass(frozen=True)
class CategoryDrift:
    """One category on one day.

    Attributes:
        category: Its name.
        verdict: The decision.
        images: That were scored on the day.
        reference_images: In the reference.
        flagged: Of the images.
        effect: Shift of the body from the usual level over the window, in robust standard
            deviations of the reference; None where there was nothing to compare.
        days: Length of that window.
        p_value: Two-sided, of the shift alone.
        adjusted: Times the categories and windows of a day, at most 1.
        spread: Width of the body over the usual one; None below `replay.SPREAD_IMAGES` a day.
        level: The usual level of the last weeks less the reference's, in the same unit as `effect`.
        rate: Share of images far above the body.
        usual_rate: The same, usually.
        appearance: Shifts of brightness, contrast and sharpness, in the same unit.
        explanation: Those of them that are large and significant, in words.
    """

    category: str
    verdict: Verdict
    images: int
    reference_images: int
    flagged: int = 0
    effect: float | None = None
    days: int | None = None
    p_value: float | None = None
    adjusted: float | None = None
    spread: float | None = None
    level: float | None = None
    rate: float | None = None
    usual_rate: float | None = None
    appearance: dict[str, float] = field(default_factory=dict)
    explanation: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite effect is cut to ±1e9, which JSON can hold."""
        content = asdict(self) | {"explanation": list(self.explanation)}
        for name in ("effect", "level"):
            if content[name] is not None:
                content[name] = float(np.clip(content[name], -_LARGEST, _LARGEST))
        return content


@dataclass(frozen=True)
class DefectRise:
    """A category whose share of very high scores rose while its body stayed.

    Attributes:
        category: Its name.
        images: Scored on the day.
        flagged: Of them, above the threshold.
        rate: Share far above the body, over the window.
        expected: The usual share.
        p_value: One-sided.
        adjusted: Times the categories and windows of a day, at most 1.
    """

    category: str
    images: int
    flagged: int
    rate: float
    expected: float
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class DriftVerdicts:
    """The verdicts of a day over all known categories, by name.

    Attributes:
        categories: One each.
        rising: Categories with more defects, the largest rise first.
        silent_alerts: Categories that stay away, the longest absence first.
        trend: The daily figures behind them: columns `day`, `category`, `images`, `flagged`,
            `shift` (of the day's body from the reference, in its standard deviations) and `alarm`.
    """

    categories: tuple[CategoryDrift, ...]
    rising: tuple[DefectRise, ...] = ()
    silent_alerts: tuple[Silence, ...] = ()
    trend: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False, compare=False)

    @property
    def drifted(self) -> tuple[CategoryDrift, ...]:
        """The categories whose verdict is drift, strongest effect first."""
        found = [each for each in self.categories if each.verdict is Verdict.DRIFT]
        return tuple(sorted(found, key=lambda each: -abs(each.effect or 0.0)))

    @property
    def stale(self) -> tuple[CategoryDrift, ...]:
        """The categories whose reference no longer holds."""
        return tuple(each for each in self.categories if each.verdict is Verdict.STALE)

    def of(self, category: str) -> CategoryDrift:
        """The verdict of one category."""
        return next(each for each in self.categories if each.category == category)


def decide(reference: Reference, history: History, params: MonitorParams) -> DriftVerdicts:
    """Judge the last day of a history.

    A category drifts when its body has left its usual level, significantly and by at least
    `min_effect`, or has become wider or narrower by at least `min_spread`. Brightness, contrast and
    sharpness explain a drift and never cause one: what does not move the scores does not harm the
    inspection. The limits are those under which all categories together raise
    `false_alarms_per_year` false alarms in a year of daily looks.

    Args:
        reference: Of the model.
        history: The days of one model version and runtime up to the judged one.
        params: Section `monitor`.

    Returns:
        One verdict for each category of the reference, by name.
    """
    found = replay(reference, history, params)
    if not found.days:
        return DriftVerdicts(
            tuple(
                CategoryDrift(name, Verdict.SILENT, 0, int(images))
                for name, images in zip(reference.categories, reference.images, strict=True)
            )
        )
    silent = find_silent(
        found.table, found.days, false_alarms=params.false_alarms_per_year,
        categories=len(reference.categories),
    )  # fmt: skip
    missing = {each.category for each in silent}
    verdicts = tuple(
        _verdict(found, row, name in missing, params)
        for row, name in enumerate(reference.categories)
    )
    rising = [
        _rise(found, row, each)
        for row, each in enumerate(verdicts)
        if found.tail.alarm[row, -1] and each.images
    ]
    return DriftVerdicts(
        verdicts,
        tuple(sorted(rising, key=lambda each: each.expected - each.rate)),
        tuple(sorted(silent, key=lambda each: -each.days)),
        trend(found),
    )


def _verdict(found: Replay, row: int, missing: bool, params: MonitorParams) -> CategoryDrift:
    name, base = found.reference.categories[row], int(found.reference.images[row])
    today = found.table[(found.table["category"] == name) & (found.table["day"] == found.days[-1])]
    images = int(today["arrived"].sum())
    if not images:
        return CategoryDrift(name, Verdict.MISSING if missing else Verdict.SILENT, 0, base)
    z = found.body.z[row, -1]
    if base < MIN_REFERENCE or not np.isfinite(z):
        return CategoryDrift(name, Verdict.TOO_FEW, images, base)
    drifts = found.body.alarm[row, -1] or found.spread.alarm[row, -1]
    level, stale = _level(found, row, params)
    appearance, words = _appearance(found, row)
    p_value = float(2 * stats.norm.sf(abs(z)))
    width = found.spread.shift[row, -1]
    if found.spread.alarm[row, -1] and np.isfinite(width):
        words = ("scores more scattered" if width > 0 else "scores less scattered", *words)
    verdict = (
        Verdict.DRIFT if drifts
        else Verdict.RISING if found.tail.alarm[row, -1]
        else Verdict.STALE if stale
        else Verdict.QUIET
    )  # fmt: skip
    return CategoryDrift(
        name, verdict, images, base,
        flagged=int(today["flagged"].sum()),
        effect=float(found.body.shift[row, -1]),
        days=int(found.body.days[row, -1]),
        p_value=p_value,
        adjusted=_adjusted(found, p_value),
        spread=ratio_of_width(width) if np.isfinite(width) else None,
        level=level,
        rate=float(found.tail.rate[row, -1]),
        usual_rate=float(found.tail.usual[row, -1]),
        appearance=appearance,
        explanation=words,
    )  # fmt: skip


def _rise(found: Replay, row: int, verdict: CategoryDrift) -> DefectRise:
    p_value = float(stats.norm.sf(found.tail.z[row, -1]))
    return DefectRise(
        verdict.category, verdict.images, verdict.flagged, float(found.tail.rate[row, -1]),
        float(found.tail.usual[row, -1]), p_value, _adjusted(found, p_value),
    )  # fmt: skip


def _adjusted(found: Replay, p_value: float) -> float:
    return min(1.0, p_value * len(found.reference.categories) * LOOKS)


def _level(found: Replay, row: int, params: MonitorParams) -> tuple[float | None, bool]:
    """The level of the last weeks' quiet days against the reference, and whether it is stale."""
    quiet = np.isfinite(found.values[row]) & ~found.body.alarm[row]
    if quiet.sum() < _STALE_DAYS:
        return None, False
    recent = found.values[row, quiet][-2 * _STALE_DAYS :]
    level = float(np.mean(recent))
    reference = found.reference
    variance = reference.bodies["score"].ratio[row] / reference.images[row]
    variance += found.body.offset[-1] ** 2 + float(np.var(recent, ddof=1)) / len(recent)
    t = abs(level) / np.sqrt(max(variance, 1e-12))
    p_value = float(2 * stats.t.sf(t, reference.freedom[row]))
    # the error of the reference is the same every day: one look, not one a day
    allowed = params.stale_probability / len(reference.categories)
    return level, abs(level) >= params.stale_effect and p_value <= allowed


def _appearance(found: Replay, row: int) -> tuple[dict[str, float], tuple[str, ...]]:
    effects: dict[str, float] = {}
    words = []
    for name, (less, more) in _WORDS.items():
        course = found.looks[name]
        shift = float(course.shift[row, -1])
        if not np.isfinite(shift):
            continue
        effects[name] = float(np.clip(shift, -_LARGEST, _LARGEST))
        if course.alarm[row, -1]:
            words.append((abs(shift), more if shift > 0 else less))
    return effects, tuple(word for _, word in sorted(words, reverse=True))
