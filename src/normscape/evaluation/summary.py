"""The content of `metrics.json`: per category, their mean and worst, and all categories pooled.

    {"mean": {metric: value}, "worst": {...}, "pooled": {...}, "category_accuracy": value,
     "categories": {name: {metric: value, "images": {"normal": n, "anomalous": n},
                           "false_positive_rate": {"declared": {"flagged", "images", "rate",
                                                   "low", "high"}, "predicted": {...}}}}}

A metric that cannot be computed is absent, never 0: pixel metrics without masks, image metrics
without defects, the declared category's rate where that category was not calibrated. "mean" and
"worst" are over the categories that have the metric; "pooled" ranks all images, or all pixels of
the categories that have masks, together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from normscape.evaluation.metrics import (
    METRICS,
    binomial_interval,
    ranked_image_metrics,
    ranked_pixel_metrics,
)
from normscape.evaluation.ranking import Ranking, Rankings
from normscape.sections.delivery import EvaluateParams


def summarise(
    scores: pd.DataFrame, images: Rankings, pixels: Rankings, params: EvaluateParams
) -> dict[str, Any]:
    """Summarise an evaluation.

    Args:
        scores: The table of `Evaluation.scores`.
        images: Rankings of image scores.
        pixels: Rankings of map pixels.
        params: AUPRO's limit and the confidence of the intervals.

    Returns:
        The content of `metrics.json`.
    """
    categories: dict[str, dict[str, Any]] = {}
    for key, group in scores.groupby("category"):
        name, normal = str(key), group[group["label"] == 0]
        categories[name] = {
            **_measure(images.categories.get(name), pixels.categories.get(name), params),
            "images": {"normal": len(normal), "anomalous": len(group) - len(normal)},
            "false_positive_rate": _realised(normal, params.confidence),
        }
    columns = {
        metric: [found[metric] for found in categories.values() if metric in found]
        for metric in METRICS
    }
    result: dict[str, Any] = {
        "mean": {metric: float(np.mean(found)) for metric, found in columns.items() if found},
        "worst": {metric: min(found) for metric, found in columns.items() if found},
        "pooled": _measure(images.pooled, pixels.pooled, params),
        "categories": categories,
    }
    known = scores[scores["flagged_declared"].notna()]
    if len(known):
        result["category_accuracy"] = float(
            (known["category"] == known["predicted_category"]).mean()
        )
    return result


def _measure(
    image: Ranking | None, pixel: Ranking | None, params: EvaluateParams
) -> dict[str, float]:
    found = {} if image is None else ranked_image_metrics(image)
    return found if pixel is None else found | ranked_pixel_metrics(pixel, params.aupro_limit)


def _realised(normal: pd.DataFrame, confidence: float) -> dict[str, dict[str, Any]]:
    """Share of normal test images flagged by the declared and by the predicted threshold."""
    rates = {}
    for judged in ("declared", "predicted"):
        flagged = normal[f"flagged_{judged}"].dropna()
        if len(flagged):
            found, total = int(flagged.sum()), len(flagged)
            low, high = binomial_interval(found, total, confidence)
            rates[judged] = {
                "flagged": found,
                "images": total,
                "rate": found / total,
                "low": low,
                "high": high,
            }
    return rates
