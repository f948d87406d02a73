"""Champion against challenger: the rules by which a model counts as not worse than today's.

The mean has to be shown not to be worse (a test of non-inferiority): an untested loss must not
reach production. A single category has too few images to show that, and a threshold can be set
anew without training, so these fail only when they are worse beyond doubt. See docs/gate.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from normscape.evaluation.paired import Contrast, PairedScores
from normscape.registry.decision import Check
from normscape.sections.delivery import GateParams

_RANKINGS = {"image_auroc": "image AUROC", "localisation": "pixel AUROC within an image"}
_ERRORS = {
    "escapes": ("escape_tolerance", "missed defects"),
    "false_alarms": ("false_alarm_tolerance", "false alarms"),
}


@dataclass(frozen=True)
class Comparison:
    """Challenger and champion on the same images of today's test set.

    Attributes:
        version: The champion.
        paired: Their figures; None where they share no image.
        images: How many images both were measured on.
        left_out: How many test images of common categories were left out, because the champion was
            trained or calibrated on them.
        removed: Categories the champion knows and the challenger does not.
    """

    version: str
    paired: PairedScores | None
    images: int
    left_out: int
    removed: tuple[str, ...]


def against_champion(comparison: Comparison, params: GateParams) -> Iterable[Check]:
    """The checks of a challenger that shares categories with the champion."""
    paired = comparison.paired
    if paired is None:
        return
    for key, name in _RANKINGS.items():
        overall: Contrast | None = getattr(paired.overall, key)
        if overall is None:
            continue
        text = (
            f"lower limit of the difference in mean {name} from {comparison.version} "
            f"({_figures(overall, paired.confidence)})"
        )
        yield _at_least("champion_tolerance", text, None, overall.low, params.champion_tolerance)
        for category, found in _measured(paired, key).items():
            text = (
                f"upper limit of the difference in {name} from {comparison.version} "
                f"({_figures(found, paired.confidence)})"
            )
            tolerance = params.champion_category_tolerance
            yield _at_least("champion_category_tolerance", text, category, found.high, tolerance)
    for key, (parameter, name) in _ERRORS.items():
        total: Contrast | None = getattr(paired.overall, key)
        everywhere: list[tuple[str | None, Contrast]] = [*_measured(paired, key).items()]
        if total is not None:
            everywhere.insert(0, (None, total))
        for where, found in everywhere:
            text = (
                f"lower limit of the rise in {name} over {comparison.version} "
                f"({_counts(found, paired.confidence)})"
            )
            limit = getattr(params, parameter)
            yield Check(parameter, text, where, found.low, limit, False, found.low <= limit)


def comparison_notes(
    known: Iterable[str], comparison: Comparison, params: GateParams
) -> Iterable[str]:
    """What a person should know of a comparison.

    Args:
        known: The challenger's categories.
        comparison: With the champion.
        params: The thresholds.
    """
    version, paired = comparison.version, comparison.paired
    compared = paired.categories if paired else {}
    if paired:
        yield f"compared with {version} on {comparison.images} test images"
        yield from _watched(version, paired, params)
    else:
        yield f"{version} shares no category with this model: absolute thresholds only"
    new = [category for category in known if category not in compared]
    if new:
        yield f"new or not comparable, absolute thresholds only: {', '.join(new)}"
    if comparison.removed:
        yield f"known to {version} and no longer to this model: {', '.join(comparison.removed)}"
    if comparison.left_out:
        yield (
            f"{comparison.left_out} test images were left out of the comparison: {version} was "
            "trained or calibrated on them"
        )


def figure_table(paired: PairedScores) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows, a category each and one for all: champion, challenger, and the interval."""
    header = ("category", *_RANKINGS.values(), *(name for _, name in _ERRORS.values()))
    rows = []
    for name, contrasts in (*paired.categories.items(), ("all", paired.overall)):
        found = [getattr(contrasts, key) for key in (*_RANKINGS, *_ERRORS)]
        rows.append((name, *("-" if one is None else _cell(one) for one in found)))
    return header, rows


def _cell(found: Contrast) -> str:
    change = f"{found.champion:.3f} to {found.challenger:.3f}"
    return f"{change} ({found.low:+.3f} to {found.high:+.3f})"


def _watched(version: str, paired: PairedScores, params: GateParams) -> Iterable[str]:
    """The category that lost most, losses that are not proven, and means that cannot be."""
    for key, name in _RANKINGS.items():
        overall: Contrast | None = getattr(paired.overall, key)
        tolerance = params.champion_tolerance
        if overall is not None and overall.low < -tolerance <= overall.difference:
            yield (
                f"the mean {name} differs by {overall.difference:+.4f} only, but {overall.images} "
                f"images cannot show that it is not lower by more than {tolerance:g}: add test "
                "images, or raise gate.champion_tolerance"
            )
        measured = _measured(paired, key)
        worst = min(measured, key=lambda category: measured[category].difference, default=None)
        if worst is not None and measured[worst].difference < 0:
            found = measured[worst]
            yield (
                f"the category that lost most {name} against {version} is {worst}: "
                f"{_figures(found, paired.confidence)}"
            )
        for category, found in measured.items():
            if found.difference < -params.champion_category_tolerance <= found.high:
                yield _unproven(f"{name} of {category}", found, params.champion_category_tolerance)
    for key, (parameter, name) in _ERRORS.items():
        tolerance = getattr(params, parameter)
        for category, found in _measured(paired, key).items():
            if found.low <= tolerance < found.difference:
                yield _unproven(f"{name} of {category}", found, tolerance)


def _unproven(what: str, found: Contrast, tolerance: float) -> str:
    return (
        f"watch {what}: {found.difference:+.4f}, more than {tolerance:g}, which "
        f"{found.images} images do not prove"
    )


def _measured(paired: PairedScores, key: str) -> Mapping[str, Contrast]:
    found = {name: getattr(contrasts, key) for name, contrasts in paired.categories.items()}
    return {name: contrast for name, contrast in found.items() if contrast is not None}


def _at_least(
    name: str, metric: str, category: str | None, value: float, tolerance: float
) -> Check:
    return Check(name, metric, category, value, -tolerance, True, value >= -tolerance)


def _figures(found: Contrast, confidence: float) -> str:
    return (
        f"{found.challenger:.4f} against {found.champion:.4f} on {found.images} images, "
        f"{confidence:.0%} interval {found.low:+.4f} to {found.high:+.4f}"
    )


def _counts(found: Contrast, confidence: float) -> str:
    ours, theirs = (round(rate * found.images) for rate in (found.challenger, found.champion))
    return (
        f"{ours} against {theirs} of {found.images}, {confidence:.0%} interval of the rate's "
        f"difference {found.low:+.4f} to {found.high:+.4f}"
    )
