"""From verdicts to findings: what is worth an alert, how urgent it is, and in which words."""

from __future__ import annotations

import math
from typing import Any

from normscape.alerts import Finding, Kind, Observation, Severity
from normscape.drift import CategoryDrift, DefectRise, DriftVerdicts, Silence, Verdict
from normscape.novelty import Source, UnknownGroup, UnknownVerdict
from normscape.sections.production import AlertParams

_EXAMPLES = 20
_LARGEST = 1e9
# A magnitude above this says no more; it bounds how often an alert can be worse than before.
_WORST = 99.0
_NOT_JUDGED = (Verdict.TOO_FEW, Verdict.SILENT)


def derive(
    day: str, version: str, drift: DriftVerdicts, unknown: UnknownVerdict, params: AlertParams
) -> Observation:
    """What one window says: its findings, and of what it says nothing.

    Args:
        day: The last day of the window.
        version: The model version.
        drift: The verdicts per category.
        unknown: The verdicts on unknown products.
        params: Section `alerts`; the rules of severity are in `docs/alerts.md`.

    Returns:
        One finding a drifted, a rising and a missing category, and one an unknown group.
    """
    findings = [_drift(each, len(drift.drifted), params) for each in drift.drifted]
    findings += [_stale(each, params) for each in drift.stale]
    findings += [_rise(each, len(drift.rising), params) for each in drift.rising]
    findings += [_unknown(each, day) for each in unknown.unknown]
    findings += [_silence(each, len(drift.silent_alerts), params) for each in drift.silent_alerts]
    return Observation(day, version, tuple(findings), _unjudged(drift), _is_empty(drift, unknown))


def describe_drift(found: CategoryDrift) -> str:
    """One sentence about a drifted category."""
    if found.verdict is Verdict.STALE:
        return (
            f"scores of {found.category} have lain {found.level or 0:+.1f} standard deviations "
            "from the model's reference for weeks: the model is stale"
        )
    direction = "up" if (found.effect or 0) > 0 else "down"
    size = f"{min(abs(found.effect or 0), _WORST):.1f}"
    looks = f", images {' and '.join(found.explanation)}" if found.explanation else ""
    return f"scores of {found.category} moved {direction} by {size} standard deviations{looks}"


def describe_rise(found: DefectRise) -> str:
    """One sentence about a category whose defect rate rose."""
    return (
        f"{found.rate:.1%} of the images of {found.category} lie far above the others, usual are "
        f"{found.expected:.1%}; {found.flagged} of {found.images} were flagged today"
    )


def describe_unknown(group: UnknownGroup) -> str:
    """One sentence about an unknown group."""
    if group.source is Source.NAME:
        return f"{group.images} images declare the unknown category {group.name}"
    if group.source is Source.UNDECLARED:
        return (
            f"{group.strange} of {group.images} undeclared images nearest to {group.name} look "
            "like no known category"
        )
    if group.source is Source.SWAPPED:
        other = group.nearest[0][0]
        return f"{group.strange} of {group.images} images declared {group.name} look like {other}"
    return f"{group.strange} of {group.images} images declared {group.name} do not look like it"


def describe_silence(found: Silence) -> str:
    """One sentence about a category that sends no images."""
    days = "day" if found.days == 1 else "days"
    return (
        f"no image of {found.category} for {found.days} {days}, since {found.last_day}; usual are "
        f"{found.usual_per_day:.0f} a day"
    )


def _drift(found: CategoryDrift, together: int, params: AlertParams) -> Finding:
    effect = found.effect or 0.0
    critical = abs(effect) >= params.critical_effect or together >= params.critical_categories
    return _moved(found, effect, critical)


def _stale(found: CategoryDrift, params: AlertParams) -> Finding:
    level = found.level or 0.0
    return _moved(found, level, abs(level) >= params.critical_effect)


def _moved(found: CategoryDrift, effect: float, critical: bool) -> Finding:
    figures = {
        "category": found.category,
        "verdict": str(found.verdict),
        "images": found.images,
        "effect": _finite(effect) or 0.0,
        "adjusted": _finite(found.adjusted),
        "explanation": list(found.explanation),
    }
    return Finding(
        Kind.DRIFT, found.category, _urgent(critical), describe_drift(found), figures,
        min(abs(effect), _WORST),
    )  # fmt: skip


def _rise(found: DefectRise, together: int, params: AlertParams) -> Finding:
    factor = found.rate / found.expected if found.expected > 0 else _WORST
    critical = factor >= params.critical_defect_factor or together >= params.critical_categories
    figures = {
        "category": found.category,
        "images": found.images,
        "flagged": found.flagged,
        "rate": found.rate,
        "expected": found.expected,
        "adjusted": _finite(found.adjusted),
    }
    return Finding(
        Kind.DEFECTS, found.category, _urgent(critical), describe_rise(found), figures,
        min(factor, _WORST),
    )  # fmt: skip


def _unknown(group: UnknownGroup, day: str) -> Finding:
    figures = {
        "name": group.name,
        "source": str(group.source),
        "images": group.images,
        "strange": group.strange,
        "adjusted": _finite(group.adjusted),
        "examples": list(group.hashes[:_EXAMPLES]),
        "nearest": [{"category": name, "share": share} for name, share in group.nearest],
        "command": group.command(day),
    }
    subjects = {
        Source.NAME: group.name,
        Source.UNDECLARED: f"undeclared, like {group.name}",
        Source.SWAPPED: f"declared {group.name}, a wrong name",
    }
    subject = subjects.get(group.source, f"declared {group.name}")
    return Finding(Kind.UNKNOWN, subject, Severity.WARNING, describe_unknown(group), figures)


def _silence(found: Silence, together: int, params: AlertParams) -> Finding:
    figures = {
        "category": found.category,
        "days_silent": found.days,
        "usual_per_day": found.usual_per_day,
        "last_image_day": found.last_day,
    }
    critical = together >= params.critical_categories
    return Finding(
        Kind.TRAFFIC, found.category, _urgent(critical), describe_silence(found), figures
    )


def _urgent(critical: bool) -> Severity:
    return Severity.CRITICAL if critical else Severity.WARNING


def _unjudged(drift: DriftVerdicts) -> frozenset[tuple[Kind, str]]:
    """Too few images do not end a drift, and only an image ends the lack of images."""
    found = {
        (kind, each.category)
        for each in drift.categories
        for kind in (Kind.DRIFT, Kind.DEFECTS)
        if each.verdict in _NOT_JUDGED
    }
    found |= {(Kind.TRAFFIC, each.category) for each in drift.categories if not each.images}
    return frozenset(found)


def _is_empty(drift: DriftVerdicts, unknown: UnknownVerdict) -> bool:
    images = [each.images for each in drift.categories]
    return not any(images + [group.images for group in unknown.groups])


def _finite(value: float | None) -> Any:
    """The value as JSON can hold it: an infinite one cut to ±1e9, none for not a number."""
    if value is None or math.isnan(value):
        return None
    return max(-_LARGEST, min(_LARGEST, value))
