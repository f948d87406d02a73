"""The exact metrics against scikit-learn and slow, obviously right references."""

import numpy as np
import pytest
from scipy import ndimage, stats
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from normscape.errors import NormscapeError
from normscape.evaluation.metrics import (
    binomial_interval,
    image_metrics,
    pixel_metrics,
    region_weights,
)


def slow_f1_max(scores: np.ndarray, labels: np.ndarray) -> float:
    best = 0.0
    for threshold in np.unique(scores):
        flagged = scores >= threshold
        hit = (flagged & (labels == 1)).sum()
        best = max(best, 2 * hit / (flagged.sum() + (labels == 1).sum()))
    return best


def slow_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """One threshold after the other, one region after the other, trapezoids."""
    rates, overlaps = [0.0], [0.0]
    regions = []
    for index, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(index, labels == number) for number in range(1, count + 1)]
    for threshold in np.unique(maps)[::-1]:
        flagged = maps >= threshold
        rates.append(flagged[~masks].mean())
        overlaps.append(np.mean([flagged[index][region].mean() for index, region in regions]))
    last = int(np.argmax(np.asarray(rates) >= limit))  # the first point at or beyond the limit
    crossing = np.interp(limit, rates[last - 1 : last + 1], overlaps[last - 1 : last + 1])
    return float(np.trapezoid([*overlaps[:last], crossing], [*rates[:last], limit]) / limit)


def scored(seed: int, decimals: int | None) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(200) < generator.uniform(0.05, 0.9)).astype(np.int8)
    labels[:2] = (0, 1)
    scores = generator.normal(labels * generator.uniform(0, 2)).astype(np.float32)
    return (scores if decimals is None else scores.round(decimals)), labels


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(8))
def test_image_metrics_equal_scikit_learn(seed: int, decimals: int | None) -> None:
    scores, labels = scored(seed, decimals)
    found = image_metrics(scores, labels)
    assert found["image_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["image_ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-30)
    assert found["image_f1max"] == pytest.approx(f1.max(), abs=1e-12)
    assert found["image_f1max"] == pytest.approx(slow_f1_max(scores, labels), abs=1e-12)


def test_raw_scores_of_any_range_are_ranked_not_clamped() -> None:
    labels = np.array([0, 0, 1, 1])
    for scores in ([-5e6, 3.0, 7.0, 8e6], [1.0, 2.0, 1e30, 2e30], [-4.0, -3.0, -2.0, -1.0]):
        assert image_metrics(np.array(scores), labels)["image_auroc"] == 1.0


def test_all_tied_is_chance() -> None:
    found = image_metrics(np.zeros(10), np.array([1] * 3 + [0] * 7))
    assert found["image_auroc"] == 0.5
    assert found["image_ap"] == pytest.approx(0.3)
    assert found["image_f1max"] == pytest.approx(2 * 3 / (10 + 3))


def pictures(seed: int, decimals: int | None) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    masks = np.zeros((6, 24, 24), dtype=bool)
    for mask in masks[:4]:
        for _ in range(3):
            row, column = generator.integers(0, 20, 2)
            mask[row : row + generator.integers(1, 8), column : column + 4] = True
    masks[0] = np.eye(24, dtype=bool)  # one region only if diagonals connect
    maps = ndimage.gaussian_filter(generator.normal(size=masks.shape), (0, 1, 1)) + 0.3 * masks
    maps = maps.astype(np.float32)
    return (maps if decimals is None else maps.round(decimals)), masks


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("seed", range(3))
def test_pixel_metrics_equal_the_references(seed: int, decimals: int | None, limit: float) -> None:
    maps, masks = pictures(seed, decimals)
    found = pixel_metrics(maps, masks, limit)
    truth, values = masks.ravel(), maps.ravel()
    assert found["aupro"] == pytest.approx(slow_aupro(maps, masks, limit), abs=1e-9)
    assert found["pixel_auroc"] == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
    assert found["pixel_ap"] == pytest.approx(average_precision_score(truth, values), abs=1e-12)
    assert found["pixel_f1max"] == pytest.approx(slow_f1_max(values, truth.astype(int)), abs=1e-12)


def test_aupro_of_perfect_and_of_useless_maps() -> None:
    masks = np.zeros((2, 16, 16), dtype=bool)
    masks[0, 2:5, 2:5] = True
    masks[1, 9, 9] = True
    assert pixel_metrics(masks.astype(np.float32), masks, 0.3)["aupro"] == pytest.approx(1.0)
    assert pixel_metrics(-masks.astype(np.float32), masks, 0.3)["aupro"] == pytest.approx(0.0)
    # All tied: the curve is the diagonal, whose mean up to the limit is half of it.
    constant = np.zeros(masks.shape, dtype=np.float32)
    assert pixel_metrics(constant, masks, 0.3)["aupro"] == pytest.approx(0.15)


def test_aupro_counts_regions_not_pixels() -> None:
    masks = np.zeros((1, 20, 20), dtype=bool)
    masks[0, :10, :10] = True
    masks[0, 15, 15] = True
    maps = np.zeros((1, 20, 20), dtype=np.float32)
    maps[0, 15, 15] = 1.0  # only the one-pixel region is found
    maps[0, 16:, :] = 0.5  # 80 of 299 normal pixels come before the large region
    assert pixel_metrics(maps, masks, 0.2)["aupro"] == pytest.approx(0.5, abs=1e-9)


def test_region_weights_sum_to_the_number_of_regions() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[0:3, 0:3] = mask[3, 3] = mask[8, 8] = True
    weights, regions = region_weights(mask)
    assert regions == 2
    assert len(weights) == mask.sum()
    assert weights.sum() == pytest.approx(2.0)


@pytest.mark.parametrize(("found", "total"), [(0, 1), (0, 20), (3, 20), (20, 20), (1, 300)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_binomial_interval_is_clopper_pearson(found: int, total: int, confidence: float) -> None:
    reference = stats.binomtest(found, total).proportion_ci(confidence, method="exact")
    assert binomial_interval(found, total, confidence) == pytest.approx(tuple(reference))


def test_impossible_input_is_explained() -> None:
    with pytest.raises(NormscapeError, match="3 anomalous and 0 normal"):
        image_metrics(np.arange(3.0), np.ones(3, dtype=int))
    with pytest.raises(NormscapeError, match="0 anomalous"):
        image_metrics(np.arange(3.0), np.zeros(3, dtype=int))
    with pytest.raises(NormscapeError, match="1 of 2 are not finite"):
        image_metrics(np.array([0.0, 1.0, np.nan]), np.array([1, 0, 0]))
    with pytest.raises(NormscapeError, match=r"must both be \(B,\)"):
        image_metrics(np.arange(3.0), np.zeros(2, dtype=int))
    with pytest.raises(NormscapeError, match=r"must both be \(B, S, S\)"):
        pixel_metrics(np.zeros((1, 4, 4)), np.zeros((1, 4, 5), dtype=bool), 0.3)
    with pytest.raises(NormscapeError, match="0 anomalous"):
        pixel_metrics(np.zeros((1, 4, 4)), np.zeros((1, 4, 4), dtype=bool), 0.3)
