"""What an evaluation found: for metrics.json, pictures and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from normscape.evaluation.ranking import Rankings


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: The content of `metrics.json` (see `normscape.evaluation.summary`).
        scores: One row per image, sorted by path: path, sha256, category, label, defect_type,
            score (raw), predicted_category, category_distance, strangeness, localisation (pixel
            AUROC within an anomalous image, null without a mask), category_p_value, and for the
            declared and the predicted category: p_value_*, threshold_* and flagged_* (null for a
            declared category that was not calibrated).
        images: Rankings of image scores.
        pixels: Rankings of map pixels, of the categories that have masks.
    """

    metrics: dict[str, Any]
    scores: pd.DataFrame
    images: Rankings = field(repr=False)
    pixels: Rankings = field(repr=False)
