"""Curves pass through the right points, and their files are stable."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_curve

from normscape.evaluation.curves import draw_curves, pr_points, roc_points
from normscape.evaluation.metrics import auroc
from normscape.evaluation.ranking import Rankings, rank
from normscape.evaluation.results import Evaluation


@pytest.mark.parametrize("decimals", [6, 1, 0])
def test_roc_points_lie_on_scikit_learns_curve_and_hold_its_area(decimals: int) -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 300)
    scores = (generator.normal(size=300) + labels).round(decimals)
    ranking = rank(scores[labels == 1], scores[labels == 0])
    x, y = roc_points(ranking)
    expected_x, expected_y, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert set(zip(x.round(9), y.round(9), strict=True)) <= set(
        zip(expected_x.round(9), expected_y.round(9), strict=True)
    )
    assert np.trapezoid(y, x) == pytest.approx(auroc(ranking))


def test_pr_points_lie_on_scikit_learns_curve() -> None:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 200)
    scores = (generator.normal(size=200) + labels).round(1)
    recall, precision = pr_points(rank(scores[labels == 1], scores[labels == 0]))
    expected_precision, expected_recall, _ = precision_recall_curve(labels, scores)
    expected = set(zip(expected_recall.round(9), expected_precision.round(9), strict=True))
    assert set(zip(recall[1:].round(9), precision[1:].round(9), strict=True)) <= expected


def test_long_curves_are_thinned_but_keep_their_area() -> None:
    generator = np.random.default_rng(3)
    ranking = rank(generator.normal(1, size=50_000), generator.normal(size=80_000))
    x, y = roc_points(ranking)
    assert len(x) < 1000
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(auroc(ranking), abs=1e-3)


def test_pictures_are_the_same_bytes_every_time(tmp_path: Path, evaluation: Evaluation) -> None:
    one = draw_curves(evaluation, tmp_path / "one")
    two = draw_curves(evaluation, tmp_path / "two")
    assert [path.name for path in one] == ["roc.png", "pr.png", "pixel_roc.png", "pixel_pr.png"]
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes()
        with Image.open(first) as picture:
            assert picture.info.get("Software") is None


def test_without_masks_there_are_no_pixel_curves(tmp_path: Path, evaluation: Evaluation) -> None:
    bare = Evaluation(evaluation.metrics, evaluation.scores, evaluation.images, Rankings({}, None))
    assert [path.name for path in draw_curves(bare, tmp_path)] == ["roc.png", "pr.png"]


def test_many_categories_show_the_worst(tmp_path: Path, evaluation: Evaluation) -> None:
    ranking = evaluation.images.categories["bolt"]
    names = [f"part {index:03d} with a name that is far too long" for index in range(40)]
    many = Evaluation(
        {**evaluation.metrics, "categories": {key: {} for key in names}},
        evaluation.scores,
        Rankings(dict.fromkeys(names, ranking), ranking),
        Rankings({}, None),
    )
    assert all(path.stat().st_size > 5_000 for path in draw_curves(many, tmp_path))
