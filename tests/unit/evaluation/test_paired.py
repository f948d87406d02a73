"""Two models on the same images: what is compared, on which images, and how surely."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from normscape.errors import UsageError
from normscape.evaluation.paired import PairedScores, compare_scores, paired_rate_interval


def scores(seed: int = 0, *, strength: float = 1.5, threshold: float = 1.0) -> pd.DataFrame:
    """Forty bolts with masks, forty nuts without; half of them anomalous."""
    random = np.random.default_rng(seed)
    label = np.tile(np.repeat([0, 1], 20), 2)
    score = np.random.default_rng(99).normal(size=80) + strength * label
    score = score + random.normal(0, 0.05, size=80)
    masked = (label == 1) & (np.arange(80) < 40)
    return pd.DataFrame(
        {
            "path": [f"{number:03d}.png" for number in range(80)],
            "category": ["bolt"] * 40 + ["nut"] * 40,
            "label": label.astype(np.int8),
            "score": score.astype(np.float32),
            "localisation": np.where(masked, 0.9 + random.normal(0, 0.01, 80), np.nan),
            "flagged_declared": pd.array(score > threshold, dtype="boolean"),
        }
    )


def test_a_model_and_itself_differ_in_nothing() -> None:
    found = compare_scores(scores(), scores(), 0.95)
    for contrasts in (found.overall, *found.categories.values()):
        for contrast in vars(contrasts).values():
            if contrast is not None:
                assert (contrast.low, contrast.difference, contrast.high) == (0, 0, 0)


def test_each_figure_is_measured_on_its_own_images() -> None:
    found = compare_scores(scores(1), scores(2), 0.95)
    bolt, nut = found.categories["bolt"], found.categories["nut"]
    assert bolt.image_auroc and bolt.localisation and bolt.escapes and bolt.false_alarms
    assert (bolt.image_auroc.images, bolt.localisation.images) == (40, 20)
    assert (bolt.escapes.images, bolt.false_alarms.images) == (20, 20)
    assert nut.localisation is None
    overall = found.overall
    assert overall.image_auroc and overall.localisation and overall.escapes and nut.escapes
    assert (overall.image_auroc.images, overall.escapes.images) == (80, 40)
    assert overall.localisation == bolt.localisation
    both = (bolt.escapes.challenger + nut.escapes.challenger) / 2
    assert overall.escapes.challenger == pytest.approx(both)


def test_the_order_of_the_rows_is_of_no_concern() -> None:
    first, second = scores(1), scores(2, strength=1.0)
    shuffled = second.sample(frac=1, random_state=0)
    assert compare_scores(first, shuffled, 0.9) == compare_scores(first, second, 0.9)


def test_exchanged_models_mirror_the_intervals_of_decisions() -> None:
    one, two = scores(1, strength=0.5), scores(2, strength=2.0)
    there, back = compare_scores(one, two, 0.95).overall, compare_scores(two, one, 0.95).overall
    assert there.escapes and back.escapes
    assert there.escapes.difference > 0.2
    assert (there.escapes.low, there.escapes.high) == pytest.approx(
        (-back.escapes.high, -back.escapes.low)
    )


def test_decisions_of_categories_without_threshold_do_not_count() -> None:
    unknown = scores(2)
    unknown.loc[unknown["category"] == "nut", "flagged_declared"] = pd.NA
    found = compare_scores(scores(1), unknown, 0.95)
    assert found.categories["nut"].escapes is None
    assert found.categories["nut"].image_auroc is not None
    assert found.overall.escapes == found.categories["bolt"].escapes


def test_other_images_are_refused() -> None:
    with pytest.raises(UsageError, match="80 images and the champion on 79"):
        compare_scores(scores(), scores()[:-1], 0.95)
    renamed = scores()
    renamed.loc[3, "path"] = "another.png"
    with pytest.raises(UsageError, match="not the same"):
        compare_scores(scores(), renamed, 0.95)
    with pytest.raises(UsageError, match=r"lack localisation.*dvc repro"):
        compare_scores(scores().drop(columns="localisation"), scores(), 0.95)


def test_it_survives_json_and_fields_of_a_later_release() -> None:
    found = compare_scores(scores(1), scores(2), 0.95)
    content = json.loads(json.dumps(found.as_dict()))
    assert PairedScores.from_dict(content) == found
    content["overall"]["lookalikes"] = {"images": 3}
    content["overall"]["escapes"]["doubt"] = 0.5
    assert PairedScores.from_dict(content) == found


@pytest.mark.parametrize(("first", "second"), [(6, 0), (5, 0), (9, 1), (3, 3), (0, 6), (40, 31)])
def test_the_exact_interval_excludes_equality_where_mcnemar_does(first: int, second: int) -> None:
    low, high = paired_rate_interval(first, second, 100, 0.95)
    assert low <= (first - second) / 100 <= high
    test = binomtest(first, first + second, 0.5)
    assert (low > 0 or high < 0) == (test.pvalue < 0.05)
    limits = test.proportion_ci(0.95, method="exact")
    apart = (first + second) / 100
    assert (low, high) == pytest.approx(
        ((2 * limits.low - 1) * apart, (2 * limits.high - 1) * apart)
    )


def test_models_that_never_disagree_are_equal() -> None:
    assert paired_rate_interval(0, 0, 5, 0.95) == (0, 0)
