"""What stands in metrics.json, and what does not."""

import json

import numpy as np
import pytest

from normscape.evaluation.metrics import IMAGE_METRICS, METRICS, binomial_interval
from normscape.evaluation.results import Evaluation


def test_metrics_that_cannot_be_computed_are_absent(evaluation: Evaluation) -> None:
    categories = evaluation.metrics["categories"]
    assert set(METRICS) <= set(categories["bolt"])
    assert set(METRICS) & set(categories["<new> & odd"]) == set(IMAGE_METRICS)
    assert not set(METRICS) & set(categories["nut"])
    assert categories["nut"]["images"] == {"normal": 5, "anomalous": 0}


def test_mean_and_worst_are_over_the_categories_that_have_the_metric(
    evaluation: Evaluation,
) -> None:
    metrics = evaluation.metrics
    both = [metrics["categories"][name]["image_auroc"] for name in ("bolt", "<new> & odd")]
    assert metrics["mean"]["image_auroc"] == pytest.approx(np.mean(both))
    assert metrics["worst"]["image_auroc"] == min(both)
    assert metrics["mean"]["aupro"] == metrics["categories"]["bolt"]["aupro"]
    assert set(metrics["pooled"]) == set(METRICS)


def test_false_positive_rates_count_flagged_normals(evaluation: Evaluation) -> None:
    rates = evaluation.metrics["categories"]["bolt"]["false_positive_rate"]
    normal = evaluation.scores.query("category == 'bolt' and label == 0")
    flagged = int((normal["score"] > normal["threshold_declared"]).sum())
    low, high = binomial_interval(flagged, 12, 0.95)
    assert rates["declared"] == {
        "flagged": flagged, "images": 12, "rate": flagged / 12, "low": low, "high": high
    }  # fmt: skip
    unknown = evaluation.metrics["categories"]["<new> & odd"]["false_positive_rate"]
    assert set(unknown) == {"predicted"}


def test_category_accuracy_leaves_out_categories_the_model_cannot_know(
    evaluation: Evaluation,
) -> None:
    assert evaluation.metrics["category_accuracy"] == 1.0


def test_it_is_plain_json(evaluation: Evaluation) -> None:
    text = json.dumps(evaluation.metrics, allow_nan=False)
    assert json.loads(text) == evaluation.metrics
