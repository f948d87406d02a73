"""The model card: what a model is for, what it was measured on, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from normscape.calibration.calibrator import Calibration
from normscape.data.manifest import category_counts
from normscape.params import Params
from normscape.registry.challenge import figure_table
from normscape.registry.decision import GateDecision, Metrics

_METRICS = {
    "image_auroc": "I-AUROC",
    "image_ap": "I-AP",
    "image_f1max": "I-F1max",
    "pixel_auroc": "P-AUROC",
    "pixel_ap": "P-AP",
    "pixel_f1max": "P-F1max",
    "aupro": "AUPRO",
}

_INTENDED = """\
Finds unusual regions in photographs of the products listed below, taken as its training images
were taken: same product, camera, light and framing. It gives an anomaly map, an image score, and a
decision at a threshold that was set per category on held-out normal images. It was fitted on
images of good parts only.

It is a help for people who inspect. It is not meant as the only safeguard where a missed defect
can hurt somebody, nor for pictures of people.
"""

_LIMITATIONS = """\
- It knows the categories above and no others; an unknown product is reported as such when a whole
  group of images is unusual, not from one image.
- A change of light, focus, camera or background looks like a defect until the model is
  recalibrated or trained again.
- Defects much smaller than one part in {side} of the image's side may vanish when the image is
  reduced to {input} x {input} pixels.
- A false-positive rate below the smallest attainable one above cannot be set: there are too few
  calibration images.
- The metrics describe the defects in the test set; other kinds may be found better or worse.
"""


def model_card(
    *,
    metrics: Metrics,
    calibration: Calibration,
    manifest: pd.DataFrame,
    decision: GateDecision,
    provenance: Mapping[str, Any],
    params: Params,
) -> str:
    """The card as Markdown.

    Args:
        metrics: The content of `metrics.json`.
        calibration: The thresholds.
        manifest: The rows of `manifest.parquet`.
        decision: The gate's.
        provenance: The content of `provenance.json`.
        params: Those the model was made with.
    """
    limits = _LIMITATIONS.format(side=params.features.grid, input=params.backbone.input_size)
    sections = [
        ("Intended use", _INTENDED),
        ("Categories and images", _images(manifest)),
        ("Measured on the test images", _measured(metrics)),
        ("Thresholds", _thresholds(calibration)),
        ("False positives among normal test images", _false_positives(metrics, params)),
        ("Gate", _gate(decision)),
        ("Limitations", limits),
        ("Made from", _made_from(provenance, params)),
    ]
    known = set(manifest["category"])
    credits = [f"{name}: {text}" for name, text in params.evaluate.credits.items() if name in known]
    if credits:
        sections.append(("Credits and licences of the images", _bullets(credits)))
    body = "\n".join(f"## {title}\n\n{text.strip()}\n" for title, text in sections)
    return f"# Model card\n\n{body}"


def _images(manifest: pd.DataFrame) -> str:
    header = ["category", "train", "calibration", "test normal", "test anomalous"]
    rows = category_counts(manifest).itertuples(index=False)
    return _table(header, [[str(value) for value in row] for row in rows])


def _measured(metrics: Metrics) -> str:
    rows = [[name, *_values(figures)] for name, figures in metrics["categories"].items()]
    rows += [[f"*{name}*", *_values(metrics[name])] for name in ("mean", "worst", "pooled")]
    table = _table(["category", *_METRICS.values()], rows)
    return f"{table}\n\nA dash: not measurable, for want of defects or of masks."


def _values(figures: Mapping[str, Any]) -> list[str]:
    return [f"{figures[key]:.3f}" if key in figures else "-" for key in _METRICS]


def _thresholds(calibration: Calibration) -> str:
    header = [
        "category",
        "calibration images",
        "groups",
        "threshold",
        "set for",
        "smallest attainable",
    ]
    rows = [
        [
            name,
            str(found.images),
            str(found.groups),
            f"{found.threshold:.4f}",
            f"{found.target:.4f}",
            f"{found.attainable_pooled:.4f} ({found.attainable_alone:.4f} alone)",
        ]
        for name, found in calibration.categories.items()
    ]
    text = (
        f"Asked for: a false-positive rate of {calibration.target_fpr:.4f}, with features from "
        f"{calibration.runtime} in {calibration.precision}.\n\n{_table(header, rows)}"
    )
    return text + (f"\n\n{_bullets(calibration.warnings)}" if calibration.warnings else "")


def _false_positives(metrics: Metrics, params: Params) -> str:
    rows = []
    for name, figures in metrics["categories"].items():
        rate = figures.get("false_positive_rate", {}).get("declared")
        if rate is not None:
            shown = f"{rate['rate']:.3f} ({rate['low']:.3f} to {rate['high']:.3f})"
            rows.append([name, f"{rate['flagged']} of {rate['images']}", shown])
    header = ["category", "flagged", f"rate ({params.evaluate.confidence:.0%} interval)"]
    return _table(header, rows)


def _gate(decision: GateDecision) -> str:
    verdict = "passed" if decision.passed else "not passed"
    text = _bullets([f"**{verdict}**", *decision.explain()])
    if decision.paired is None:
        return text
    header, rows = figure_table(decision.paired)
    return f"{text}\n\nAgainst {decision.champion}, on the same images:\n\n{_table(header, rows)}"


def _made_from(provenance: Mapping[str, Any], params: Params) -> str:
    code = provenance["code"]
    commit = code["commit"] or "not under version control"
    state = " with uncommitted changes" if code["commit"] and code["dirty"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in provenance["packages"].items())
    return _bullets(
        [
            f"data: {provenance['data_version'] or 'not versioned'}",
            f"code: {commit}{state}",
            f"backbone: {params.backbone.name}, weights frozen",
            f"packages: {packages}",
        ]
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    align = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, align, *rows))
