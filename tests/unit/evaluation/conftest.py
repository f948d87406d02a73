"""A small evaluation with everything in it: masks, none, a category that was not calibrated."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from normscape.calibration import Calibration, fit_calibration
from normscape.evaluation.metrics import region_weights
from normscape.evaluation.ranking import RankingBuilder, Rankings, rank
from normscape.evaluation.results import Evaluation
from normscape.evaluation.summary import summarise
from normscape.sections.delivery import EvaluateParams
from normscape.sections.model import CalibrateParams


@dataclass(frozen=True)
class Identity:
    runtime: str = "openvino"
    precision: str = "bf16"


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    generator = np.random.default_rng(7)
    names = ["bolt"] * 30 + ["nut"] * 8
    scores = generator.gamma(4.0, 0.2, len(names)) + np.repeat([0.0, 2.0], [30, 8])
    return fit_calibration(scores, names, scores, CalibrateParams(), Identity())


def table(calibration: Calibration) -> pd.DataFrame:
    """Scores of bolts (known), nuts (known, normals only) and a new product."""
    generator = np.random.default_rng(8)
    rows = []
    for category, predicted, label, count, shift in (
        ("bolt", "bolt", 0, 12, 0.0), ("bolt", "bolt", 1, 9, 0.9), ("nut", "nut", 0, 5, 2.0),
        ("<new> & odd", "bolt", 0, 4, 0.3), ("<new> & odd", "nut", 1, 3, 2.5),
    ):  # fmt: skip
        for index in range(count):
            score = np.float32(generator.gamma(4.0, 0.2) + shift)
            known = category in calibration.categories
            limit, own = calibration.threshold(predicted), calibration.categories.get(category)
            rows.append(
                {
                    "path": f"{category}/test/{label}/{index:03d}.png",
                    "category": category,
                    "label": label,
                    "score": score,
                    "predicted_category": predicted,
                    "threshold_declared": own.threshold if own else np.nan,
                    "threshold_predicted": limit,
                    "flagged_declared": score > own.threshold if known and own else None,
                    "flagged_predicted": score > limit,
                }
            )
    frame = pd.DataFrame(rows)
    return frame.astype({"flagged_declared": "boolean", "flagged_predicted": "boolean"})


@pytest.fixture(scope="session")
def evaluation(calibration: Calibration) -> Evaluation:
    scores = table(calibration)

    def ranked(group: pd.DataFrame):
        values, labels = group["score"].to_numpy(), group["label"].to_numpy()
        return rank(values[labels == 1], values[labels == 0])

    images = Rankings(
        categories={
            name: ranked(scores[scores["category"] == name]) for name in ("bolt", "<new> & odd")
        },
        pooled=ranked(scores),
    )
    generator = np.random.default_rng(9)
    mask = np.zeros((32, 32), dtype=bool)
    mask[4:12, 6:14] = True
    values = (generator.normal(size=mask.shape) + 2 * mask).astype(np.float32)
    builder = RankingBuilder(values[mask], region_weights(mask)[0])
    builder.add(values[~mask])
    pixels = Rankings(categories={"bolt": builder.result()}, pooled=builder.result())
    metrics = summarise(scores, images, pixels, EvaluateParams())
    return Evaluation(metrics, scores, images, pixels)
