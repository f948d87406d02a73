"""The gate: what a model must reach, and not lose against the champion, to serve production.

A comparison that cannot be made because a figure is NaN counts as failed.
"""

from __future__ import annotations

from collections.abc import Iterable

from normscape.registry.challenge import Comparison, against_champion, comparison_notes
from normscape.registry.decision import Check, GateDecision, Metrics
from normscape.sections.delivery import GateParams

__all__ = ["Check", "Comparison", "GateDecision", "Metrics", "decide"]


def decide(challenger: Metrics, comparison: Comparison | None, params: GateParams) -> GateDecision:
    """Hold a challenger against the absolute thresholds and against the champion.

    New categories face the absolute thresholds only. A category without anomalous test images has
    no AUROC and is noted; where *no* category has one, the thresholds on AUROC fail unless they
    are 0. Pixel metrics count where there are masks.

    Args:
        challenger: Its metrics on the whole test set.
        comparison: With the champion, on the same images; None where there is no champion.
        params: The thresholds.
    """
    checks = [*_absolute(challenger, params), *_false_positives(challenger, params)]
    notes = list(_unmeasured(challenger))
    if comparison is not None:
        checks += against_champion(comparison, params)
        notes += comparison_notes(challenger["categories"], comparison, params)
    passed = all(check.passed for check in checks)
    version, paired = (comparison.version, comparison.paired) if comparison else (None, None)
    return GateDecision(passed, tuple(checks), tuple(notes), version, paired)


def _absolute(metrics: Metrics, params: GateParams) -> Iterable[Check]:
    mean, worst = metrics["mean"], metrics["worst"]
    yield _at_least(
        "min_mean_image_auroc", "mean image AUROC", None,
        mean.get("image_auroc"), params.min_mean_image_auroc,
    )  # fmt: skip
    yield _at_least(
        "min_worst_image_auroc", "worst image AUROC", _worst_category(metrics),
        worst.get("image_auroc"), params.min_worst_image_auroc,
    )  # fmt: skip
    if "pixel_auroc" in mean:
        yield _at_least(
            "min_mean_pixel_auroc", "mean pixel AUROC", None,
            mean["pixel_auroc"], params.min_mean_pixel_auroc,
        )  # fmt: skip


def _false_positives(metrics: Metrics, params: GateParams) -> Iterable[Check]:
    limit = params.max_false_positive_rate
    for category, figures in metrics["categories"].items():
        rate = figures.get("false_positive_rate", {}).get("declared")
        if rate is None:
            continue
        # The lower confidence limit: a handful of test normals must not fail a good model.
        low = rate["low"]
        text = (
            f"lower confidence limit of the false-positive rate "
            f"({rate['flagged']} of {rate['images']} normals flagged)"
        )
        name = "max_false_positive_rate"
        yield Check(name, text, category, low, limit, at_least=False, passed=low <= limit)


def _at_least(
    name: str, metric: str, category: str | None, value: float | None, limit: float
) -> Check:
    passed = limit <= 0.0 if value is None else value >= limit
    return Check(name, metric, category, value, limit, at_least=True, passed=passed)


def _worst_category(metrics: Metrics) -> str | None:
    measured = {
        category: figures["image_auroc"]
        for category, figures in metrics["categories"].items()
        if "image_auroc" in figures
    }
    return min(measured, key=lambda category: measured[category], default=None)


def _unmeasured(metrics: Metrics) -> Iterable[str]:
    for category, figures in metrics["categories"].items():
        if "image_auroc" not in figures:
            yield (
                f"image AUROC of {category} could not be measured: its test images are not of both "
                "kinds, normal and anomalous"
            )
        if "declared" not in figures.get("false_positive_rate", {}):
            yield f"the false-positive rate of {category} could not be measured"
