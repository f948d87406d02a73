"""The evaluation as one page that holds all it shows."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from normscape.calibration.calibrator import Calibration
from normscape.evaluation.results import Evaluation
from normscape.sections.delivery import EvaluateParams

NAMES = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "image_f1max": "Image F1max",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "pixel_f1max": "Pixel F1max",
    "aupro": "AUPRO",
}
_WEAK_MARGIN = 0.05  # below the mean of the column


def environment() -> jinja2.Environment:
    """Templates of reports; `{% include "base.css" %}` gives every report the same look."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("normscape.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embed(path: Path) -> str:
    """A file as base64 text, for `data:` addresses."""
    return base64.b64encode(path.read_bytes()).decode("ascii")


def render_report(
    evaluation: Evaluation,
    calibration: Calibration,
    params: EvaluateParams,
    *,
    curves: Iterable[Path],
    galleries: Mapping[str, Path],
) -> str:
    """Render the report.

    Args:
        evaluation: What was measured.
        calibration: The thresholds that were used.
        params: AUPRO's limit, the confidence of intervals, credits.
        curves: Pictures of curves, in the order in which they are shown.
        galleries: The picture of each category.

    Returns:
        One HTML page with all pictures and styles in it; no scripts, no addresses.
    """
    metrics = evaluation.metrics
    categories = metrics["categories"]
    alarms, scale = _alarms(categories, calibration)

    def weak(metric: str, value: float) -> bool:
        return bool(value < metrics["mean"][metric] - _WEAK_MARGIN)

    template = environment().get_template("report.html")
    return template.render(
        metrics=metrics,
        categories=categories,
        names=NAMES,
        weak=weak,
        weak_margin=_WEAK_MARGIN,
        normal=sum(found["images"]["normal"] for found in categories.values()),
        anomalous=sum(found["images"]["anomalous"] for found in categories.values()),
        aupro_limit=params.aupro_limit,
        confidence=f"{params.confidence:.0%}",
        target=f"{calibration.target_fpr:g}",
        alarms=alarms,
        scale=f"{scale:g}",
        calibration=calibration,
        curves={path.stem: embed(path) for path in curves},
        galleries={name: embed(path) for name, path in galleries.items()},
        credits=sorted({params.credits[name] for name in categories if name in params.credits}),
    )


def _alarms(
    categories: Mapping[str, Any], calibration: Calibration
) -> tuple[list[dict[str, Any]], float]:
    """Rows of the table of false alarms, and the rate at which their common scale ends."""
    rates = {name: found["false_positive_rate"] for name, found in categories.items()}
    declared = [rate["declared"]["rate"] for rate in rates.values() if "declared" in rate]
    targets = [known.target for known in calibration.categories.values()]
    scale = next(
        end for end in (0.1, 0.2, 0.5, 1.0) if end == 1.0 or end > 1.5 * max(declared + targets)
    )

    def percent(rate: float) -> float:
        return round(100 * min(rate / scale, 1.0), 1)

    rows = []
    for name, rate in rates.items():
        found = rate.get("declared")
        row: dict[str, Any] = {
            "category": name,
            "declared": found,
            "predicted": rate.get("predicted"),
            "above": False,
        }
        if found:
            target = calibration.categories[name].target
            left, right = percent(found["low"]), percent(found["high"])
            row |= {
                "above": found["low"] > target,
                "left": left,
                "width": round(right - left, 1),
                "dot": percent(found["rate"]),
                "mark": percent(target),
            }
        rows.append(row)
    return rows, scale
