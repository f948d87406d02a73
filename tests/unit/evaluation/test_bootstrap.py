"""The paired bootstrap against one image after the other, and against what it promises."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from normscape.evaluation.bootstrap import average, paired_auroc, paired_means, weighted_auroc


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
    labels: np.ndarray,
    names: np.ndarray,
    models: tuple[np.ndarray, np.ndarray],
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Draw, look up and call scikit-learn for every sample and category."""
    generator = np.random.default_rng(seed)
    by_category = []
    for name in sorted(set(names)):
        places = [np.flatnonzero((names == name) & (labels == label)) for label in (0, 1)]
        counts = [
            generator.multinomial(len(part), np.full(len(part), 1 / len(part)), size=resamples)
            for part in places
        ]
        values = []
        for sample in range(resamples):
            drawn = np.concatenate(
                [np.repeat(part, count[sample]) for part, count in zip(places, counts, strict=True)]
            )
            one, two = (roc_auc_score(labels[drawn], scores[drawn]) for scores in models)
            values.append(one - two)
        by_category.append(values)
    low, high = np.percentile(np.mean(by_category, axis=0), [2.5, 97.5])
    return float(low), float(high)


def images(*groups: tuple[str, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and categories of so many normal and anomalous images each."""
    labels = [label for _, n, p in groups for label in [0] * n + [1] * p]
    return np.array(labels), np.array([name for name, n, p in groups for _ in range(n + p)])


def test_the_interval_of_the_mean_agrees_with_the_slow_reference() -> None:
    random = np.random.default_rng(3)
    labels, names = images(("b", 9, 6), ("a", 5, 8))
    first, second = (random.normal(size=len(labels)) + gain * labels for gain in (1.5, 0.5))
    found = average(paired_auroc(labels, names, first, second, resamples=100, seed=5).values())
    low, high = found.interval(0.95)
    assert (low, high) == pytest.approx(slow_bootstrap(labels, names, (first, second), 100, 5))
    means = [
        np.mean([roc_auc_score(labels[names == name], scores[names == name]) for name in "ab"])
        for scores in (first, second)
    ]
    assert (found.first, found.second) == pytest.approx(means)
    assert low <= found.difference <= high


def test_a_category_without_both_labels_is_left_out() -> None:
    labels, names = images(("a", 4, 4), ("b", 4, 0), ("c", 0, 4))
    assert set(paired_auroc(labels, names, labels * 1.0, labels * 1.0)) == {"a"}


def test_a_mean_of_pairs_has_the_interval_of_its_differences() -> None:
    random = np.random.default_rng(0)
    names = np.array(["a"] * 50)
    second = random.normal(size=50)
    found = paired_means(names, second + random.normal(0.3, 0.1, size=50), second)["a"]
    low, high = found.interval(0.95)
    # The spread of the images themselves has no part in it.
    assert 0.02 < high - low < 4 * 0.1 / 50**0.5 * 1.5
    assert low < 0.3 < high
    shifted = paired_means(names, second + 0.25, second)["a"]
    assert shifted.interval(0.95) == pytest.approx((0.25, 0.25))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    labels, names = images(("a", 30, 30), ("b", 30, 30))
    covered = 0
    for _ in range(100):
        common = random.normal(size=len(labels)) + 1.2 * labels
        models = [common + random.normal(0, 0.5, size=len(labels)) for _ in range(2)]
        pairs = paired_auroc(labels, names, *models, resamples=300)
        low, high = average(pairs.values()).interval(0.9)
        covered += low <= 0.0 <= high  # the two are equally good
    assert 80 <= covered <= 98
