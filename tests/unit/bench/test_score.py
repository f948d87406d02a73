"""The evaluator against scikit-learn, and the bootstrap against one image after the other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from bench import score
from bench.score import bootstrap_difference, measure, weighted_auroc
from normscape.errors import DataError


def table(*groups: tuple[str, int, int]) -> pd.DataFrame:
    """Rows of categories with so many normal and anomalous images, without masks."""
    rows = [
        {"category": name, "label": label, "mask": None}
        for name, normal, anomalous in groups
        for label in [0] * normal + [1] * anomalous
    ]
    return pd.DataFrame(rows)


def draws(count: int, rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=rows)


def test_weighted_auroc_is_that_of_the_repeated_scores() -> None:
    random = np.random.default_rng(0)
    normal, anomalous = random.integers(0, 9, 13) / 4, random.integers(3, 12, 7) / 4  # with ties
    counts = draws(13, 20, 1), draws(7, 20, 2)
    found = weighted_auroc(normal, anomalous, *counts)
    for row, value in enumerate(found):
        scores = np.repeat(normal, counts[0][row]), np.repeat(anomalous, counts[1][row])
        labels = np.repeat([0, 1], [len(part) for part in scores])
        assert value == pytest.approx(roc_auc_score(labels, np.concatenate(scores)))


def slow_bootstrap(
    rows: pd.DataFrame, first: np.ndarray, second: np.ndarray, resamples: int, seed: int
) -> tuple[float, float]:
    """Draw, look up and call scikit-learn for every sample and category."""
    generator = np.random.default_rng(seed)
    labels = rows["label"].to_numpy()
    by_category = []
    for name in sorted(set(rows["category"])):
        places = [
            np.flatnonzero((rows["category"] == name) & (labels == label)) for label in (0, 1)
        ]
        counts = [
            generator.multinomial(len(part), np.full(len(part), 1 / len(part)), size=resamples)
            for part in places
        ]
        values = []
        for sample in range(resamples):
            drawn = np.concatenate(
                [np.repeat(part, count[sample]) for part, count in zip(places, counts, strict=True)]
            )
            one, two = (roc_auc_score(labels[drawn], scores[drawn]) for scores in (first, second))
            values.append(one - two)
        by_category.append(values)
    low, high = np.percentile(np.mean(by_category, axis=0), [2.5, 97.5])
    return float(low), float(high)


def test_bootstrap_agrees_with_the_slow_reference() -> None:
    random = np.random.default_rng(3)
    rows = table(("b", 9, 6), ("a", 5, 8))
    labels = rows["label"].to_numpy()
    first, second = (random.normal(size=len(rows)) + gain * labels for gain in (1.5, 0.5))
    found = bootstrap_difference(rows, first, second, resamples=100, seed=5)
    assert (found["low"], found["high"]) == pytest.approx(
        slow_bootstrap(rows, first, second, 100, 5)
    )
    means = [
        np.mean(
            [roc_auc_score(labels[part], scores[part]) for part in (slice(15), slice(15, None))]
        )
        for scores in (first, second)
    ]
    assert found["difference"] == pytest.approx(means[0] - means[1])
    assert found["low"] <= found["difference"] <= found["high"]


def test_bootstrap_of_a_method_with_itself_is_nothing() -> None:
    rows = table(("a", 20, 20))
    scores = np.random.default_rng(0).normal(size=40)
    found = bootstrap_difference(rows, scores, scores * 3 + 1)
    assert found == {"difference": 0.0, "low": 0.0, "high": 0.0}


def test_measure_averages_categories_and_pools_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "ROOT", tmp_path)
    rows = table(("cable", 4, 4), ("nut", 4, 4))
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[2:4, 2:4] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    rows.loc[(rows["category"] == "nut") & (rows["label"] == 1), "mask"] = tmp_path / "mask.png"
    labels = rows["label"].to_numpy()
    scores = np.where(rows["category"] == "nut", labels * 1.0, -labels * 1.0)
    maps = np.random.default_rng(0).random((16, 8, 8)).astype(np.float16)
    maps[12:, 2:4, 2:4] += 2
    found = measure(rows, scores, maps)
    assert found["categories"]["nut"]["image_auroc"] == 1.0
    assert found["categories"]["cable"]["image_auroc"] == 0.0
    assert found["mean"]["image_auroc"] == 0.5
    assert found["pooled"]["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert "pixel_auroc" not in found["categories"]["cable"]
    assert found["mean"]["aupro"] == pytest.approx(1.0)
    assert found["mean"]["pixel_auroc"] == found["pooled"]["pixel_auroc"] == pytest.approx(1.0)


def test_measure_refuses_scores_of_other_images() -> None:
    with pytest.raises(DataError, match="8 rows, 7 scores"):
        measure(table(("a", 4, 4)), np.zeros(7), np.zeros((8, 4, 4)))
