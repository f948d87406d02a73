"""The evaluator against scikit-learn; the bootstrap is tested with the library."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from bench import score
from bench.score import bootstrap_difference, measure
from normscape.errors import DataError


def table(*groups: tuple[str, int, int]) -> pd.DataFrame:
    """Rows of categories with so many normal and anomalous images, without masks."""
    rows = [
        {"category": name, "label": label, "mask": None}
        for name, normal, anomalous in groups
        for label in [0] * normal + [1] * anomalous
    ]
    return pd.DataFrame(rows)


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
