"""The verdict of each known category: quiet, drift, too few images, or silent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from normscape.drift.multiplicity import benjamini_hochberg
from normscape.drift.robust import MIN_REFERENCE, Scores, Shift, body_shift, plain_shift
from normscape.params import MonitorParams

_WORDS = {
    "mean_intensity": ("darker", "brighter"),
    "std_intensity": ("less contrast", "more contrast"),
    "sharpness": ("blurrier", "sharper"),
}
_RATIO_SCALED = ("sharpness",)  # a variance: its changes are factors, its distribution skewed


class Verdict(StrEnum):
    """What is said of one category."""

    QUIET = "quiet"
    DRIFT = "drift"
    TOO_FEW = "too_few"
    SILENT = "silent"


@dataclass(frozen=True)
class CategoryDrift:
    """One category's window against its reference.

    Attributes:
        category: Its name.
        verdict: The decision.
        images: In the window.
        reference_images: In the reference.
        effect: Shift of the scores' body in robust standard deviations of the reference; None
            where there was nothing to compare.
        p_value: Two-sided, of the shift alone.
        adjusted: The p-value after Benjamini-Hochberg over the categories.
        appearance: Shifts of brightness, contrast and sharpness, in the same unit.
        explanation: Those of them that are large and significant, in words.
    """

    category: str
    verdict: Verdict
    images: int
    reference_images: int
    effect: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    appearance: dict[str, float] | None = None
    explanation: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite effect is cut to ±1e9, which JSON can hold."""
        content = asdict(self)
        if self.effect is not None:
            content["effect"] = float(np.clip(self.effect, -1e9, 1e9))
        content["appearance"] = {
            name: float(np.clip(value, -1e9, 1e9))
            for name, value in (self.appearance or {}).items()
        }
        content["explanation"] = list(self.explanation)
        return content


@dataclass(frozen=True)
class DefectRise:
    """A category whose defect rate rose.

    Attributes:
        category: Its name.
        images: In the window.
        flagged: Of them.
        rate: Share of the window that was flagged.
        expected: Share that is usual for it.
        p_value: Of so many flagged images or more.
        adjusted: The p-value after the correction for many categories.
    """

    category: str
    images: int
    flagged: int
    rate: float
    expected: float
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class Silence:
    """A category that sends no images although it should.

    Attributes:
        category: Its name.
        days: Days without an image, up to the window's last.
        usual_per_day: Images a day before that.
        last_day: The last day with an image.
    """

    category: str
    days: int
    usual_per_day: float
    last_day: str


@dataclass(frozen=True)
class DriftVerdicts:
    """The verdicts of all known categories, by name.

    Attributes:
        categories: One verdict a category.
        rising: Those whose defect rate rose.
        silent_alerts: Those whose images are missed.
    """

    categories: tuple[CategoryDrift, ...]
    rising: tuple[DefectRise, ...] = ()
    silent_alerts: tuple[Silence, ...] = ()

    @property
    def drifted(self) -> tuple[CategoryDrift, ...]:
        """The categories whose verdict is drift, strongest effect first."""
        found = [each for each in self.categories if each.verdict is Verdict.DRIFT]
        return tuple(sorted(found, key=lambda each: -abs(each.effect or 0.0)))

    def of(self, category: str) -> CategoryDrift:
        """The verdict of one category."""
        return next(each for each in self.categories if each.category == category)


def decide(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    params: MonitorParams,
) -> DriftVerdicts:
    """Compare each category's window of one model version with the model's reference.

    A category drifts when its body shift (see `robust.body_shift`) is both significant at the
    false discovery rate over all compared categories and at least `min_effect` large. Brightness,
    contrast and sharpness explain a drift and never cause one: what does not move the scores does
    not harm the inspection.

    Args:
        reference: Columns `category`, `score`, `mean_intensity`, `std_intensity`, `sharpness`.
        window: The same columns; `category` from `window.assign`, rows without one are ignored.
        params: Section `monitor`.

    Returns:
        One verdict for each category of the reference, by name.
    """
    compared: dict[str, tuple[CategoryDrift, Shift]] = {}
    verdicts: dict[str, CategoryDrift] = {}
    for name in sorted(reference["category"].unique()):
        known = reference[reference["category"] == name]
        seen = window[window["category"] == name]
        scores, base = _finite(seen["score"]), _finite(known["score"])
        if not scores.size:
            verdicts[name] = CategoryDrift(name, Verdict.SILENT, 0, base.size)
        elif scores.size < params.min_images or base.size < MIN_REFERENCE:
            verdicts[name] = CategoryDrift(name, Verdict.TOO_FEW, scores.size, base.size)
        else:
            shift = body_shift(
                scores, base, defect_share=params.defect_share, offset=params.day_to_day
            )
            appearance, words = _appearance(seen, known, params)
            compared[name] = (
                CategoryDrift(
                    name, Verdict.QUIET, scores.size, base.size,
                    appearance=appearance, explanation=words,
                ),
                shift,
            )  # fmt: skip
    adjusted = benjamini_hochberg([shift.p_value for _, shift in compared.values()])
    for (name, (base_verdict, shift)), level in zip(compared.items(), adjusted, strict=True):
        moved = level <= params.false_discovery_rate and abs(shift.effect) >= params.min_effect
        verdicts[name] = CategoryDrift(
            **{
                **base_verdict.__dict__,
                "verdict": Verdict.DRIFT if moved else Verdict.QUIET,
                "effect": shift.effect,
                "p_value": shift.p_value,
                "adjusted": float(level),
            }
        )
    return DriftVerdicts(tuple(verdicts[name] for name in sorted(verdicts)))


def _appearance(
    seen: pd.DataFrame, known: pd.DataFrame, params: MonitorParams
) -> tuple[dict[str, float], tuple[str, ...]]:
    effects: dict[str, float] = {}
    words = []
    for column, (less, more) in _WORDS.items():
        values, base = _finite(seen[column]), _finite(known[column])
        if column in _RATIO_SCALED:
            values, base = np.log(np.maximum(values, 1e-9)), np.log(np.maximum(base, 1e-9))
        if not values.size or base.size < MIN_REFERENCE:
            continue
        shift = plain_shift(values, base, offset=params.day_to_day)
        effects[column] = shift.effect
        if abs(shift.effect) >= params.min_effect and shift.p_value <= params.false_discovery_rate:
            words.append((abs(shift.effect), more if shift.effect > 0 else less))
    return effects, tuple(word for _, word in sorted(words, reverse=True))


def _finite(values: pd.Series) -> Scores:
    numbers: Scores = values.to_numpy(dtype=np.float64, na_value=np.nan)
    finite: Scores = numbers[np.isfinite(numbers)]
    return finite
