"""The gate's decisions and the sentences in which it explains them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normscape.params import GateParams
from normscape.registry.gate import Comparison, GateDecision, Metrics, decide

PARAMS = GateParams()


def rate(flagged: int = 0, images: int = 20, low: float = 0.0) -> dict[str, Any]:
    high = min(1.0, flagged / images + 0.2)
    declared = {"flagged": flagged, "images": images, "rate": flagged / images}
    return {"declared": {**declared, "low": low, "high": high}, "predicted": {}}


def metrics(**categories: dict[str, Any]) -> Metrics:
    """Metrics whose mean and worst follow from `category={"image_auroc": …, …}`."""
    filled = {
        name: {"false_positive_rate": rate(), **figures} for name, figures in categories.items()
    }
    mean, worst = {}, {}
    for key in ("image_auroc", "pixel_auroc"):
        values = [figures[key] for figures in filled.values() if key in figures]
        if values:
            mean[key], worst[key] = sum(values) / len(values), min(values)
    return {"mean": mean, "worst": worst, "pooled": {}, "categories": filled}


def versus(challenger: Metrics, champion: Metrics, **changes: Any) -> Comparison:
    values = {"images": 40, "left_out": 0, "removed": (), **changes}
    return Comparison("v0001", challenger, champion, **values)


def failed(decision: GateDecision) -> list[tuple[str, str | None]]:
    return [(check.name, check.category) for check in decision.failures]


def test_a_good_first_model_passes() -> None:
    model = metrics(bolt={"image_auroc": 0.95, "pixel_auroc": 0.97}, nut={"image_auroc": 0.9})
    decision = decide(model, None, PARAMS)
    assert decision.passed
    assert decision.failures == ()
    assert decision.champion is None
    assert decision.explain()[0] == (
        "mean image AUROC is 0.9250; gate.min_mean_image_auroc asks for at least 0.7000: "
        "kept with 0.2250 to spare"
    )


def test_each_absolute_threshold_is_named_with_its_value_limit_and_margin() -> None:
    model = metrics(
        bolt={"image_auroc": 0.5, "pixel_auroc": 0.6},
        nut={
            "image_auroc": 0.8,
            "pixel_auroc": 0.9,
            "false_positive_rate": rate(flagged=12, low=0.36),
        },
    )
    decision = decide(model, None, PARAMS)
    assert failed(decision) == [
        ("min_mean_image_auroc", None),
        ("min_worst_image_auroc", "bolt"),
        ("min_mean_pixel_auroc", None),
        ("max_false_positive_rate", "nut"),
    ]
    sentences = decision.explain()
    assert sentences[1] == (
        "worst image AUROC of bolt is 0.5000; gate.min_worst_image_auroc asks for at least 0.5500: "
        "missed by 0.0500"
    )
    assert sentences[3] == (
        "lower confidence limit of the false-positive rate (12 of 20 normals flagged) of nut is "
        "0.3600; gate.max_false_positive_rate asks for at most 0.2000: missed by 0.1600"
    )


def test_a_value_on_the_limit_passes() -> None:
    limits = GateParams(min_mean_image_auroc=0.75, min_worst_image_auroc=0.75)
    model = metrics(bolt={"image_auroc": 0.75, "false_positive_rate": rate(low=0.2)})
    assert decide(model, None, limits).passed


def test_few_test_normals_do_not_fail_a_model_by_chance() -> None:
    model = metrics(
        bolt={"image_auroc": 0.9, "false_positive_rate": rate(flagged=1, images=3, low=0.008)}
    )
    assert decide(model, None, PARAMS).passed


def test_pixel_thresholds_wait_for_masks() -> None:
    decision = decide(metrics(bolt={"image_auroc": 0.9}), None, PARAMS)
    assert decision.passed
    assert "min_mean_pixel_auroc" not in {check.name for check in decision.checks}


def test_without_any_defect_the_gate_stays_shut_unless_told_otherwise() -> None:
    model = metrics(bolt={})
    decision = decide(model, None, PARAMS)
    assert failed(decision) == [("min_mean_image_auroc", None), ("min_worst_image_auroc", None)]
    assert "could not be measured" in decision.explain()[0]
    open_gate = GateParams(min_mean_image_auroc=0.0, min_worst_image_auroc=0.0)
    decision = decide(model, None, open_gate)
    assert decision.passed
    assert any("image AUROC of bolt could not be measured" in note for note in decision.notes)


def test_nan_never_passes() -> None:
    nan = math.nan
    model = metrics(bolt={"image_auroc": nan, "false_positive_rate": rate(low=nan)})
    assert len(decide(model, None, PARAMS).failures) == 3


def test_a_challenger_may_lose_the_tolerance_and_no_more() -> None:
    champion = metrics(bolt={"image_auroc": 0.90}, nut={"image_auroc": 0.90})
    slightly = metrics(bolt={"image_auroc": 0.89}, nut={"image_auroc": 0.88})
    assert decide(slightly, versus(slightly, champion), PARAMS).passed
    clearly = metrics(bolt={"image_auroc": 0.87}, nut={"image_auroc": 0.88})
    decision = decide(clearly, versus(clearly, champion), PARAMS)
    assert failed(decision) == [("champion_tolerance", None)]
    assert "shared with v0001 (0.9000) is 0.8750" in decision.explain()[0]
    assert "missed by 0.0050" in decision.explain()[0]


def test_one_collapsed_category_does_not_hide_in_the_mean() -> None:
    champion = metrics(bolt={"image_auroc": 0.90}, nut={"image_auroc": 0.80})
    model = metrics(bolt={"image_auroc": 0.78}, nut={"image_auroc": 0.99})
    decision = decide(model, versus(model, champion), PARAMS)
    assert failed(decision) == [("champion_category_tolerance", "bolt")]


def test_localisation_is_compared_too() -> None:
    champion = metrics(bolt={"image_auroc": 0.9, "pixel_auroc": 0.98})
    model = metrics(bolt={"image_auroc": 0.9, "pixel_auroc": 0.90})
    decision = decide(model, versus(model, champion), PARAMS)
    assert failed(decision) == [("champion_tolerance", None)]
    assert "mean pixel AUROC" in decision.explain()[0]


def test_new_categories_face_the_absolute_thresholds_only() -> None:
    champion = metrics(bolt={"image_auroc": 0.99})
    model = metrics(bolt={"image_auroc": 0.99}, grass={"image_auroc": 0.60})
    shared = metrics(bolt={"image_auroc": 0.99})
    decision = decide(model, versus(shared, champion), PARAMS)
    assert decision.passed
    assert "new or not comparable, absolute thresholds only: grass" in decision.notes
    bad = metrics(bolt={"image_auroc": 0.99}, grass={"image_auroc": 0.50})
    assert failed(decide(bad, versus(shared, champion), PARAMS)) == [
        ("min_worst_image_auroc", "grass")
    ]


def test_removed_categories_and_left_out_images_are_reported() -> None:
    model = metrics(bolt={"image_auroc": 0.9})
    comparison = versus(model, model, removed=("nut",), left_out=3)
    notes = " ".join(decide(model, comparison, PARAMS).notes)
    assert "known to v0001 and no longer to this model: nut" in notes
    assert "3 test images were left out" in notes


def test_nothing_in_common_leaves_the_absolute_thresholds() -> None:
    model = metrics(grass={"image_auroc": 0.9})
    decision = decide(model, versus(metrics(), metrics(), images=0), PARAMS)
    assert decision.passed
    assert any("shares no category" in note for note in decision.notes)


def test_a_decision_survives_json() -> None:
    model = metrics(bolt={"image_auroc": 0.9, "pixel_auroc": 0.5})
    decision = decide(model, versus(model, model, removed=("nut",)), PARAMS)
    assert GateDecision.from_dict(json.loads(json.dumps(decision.as_dict()))) == decision


figures = st.floats(0, 1).map(lambda value: round(value, 4))


@given(st.lists(figures, min_size=1, max_size=5), st.floats(0, 0.3))
def test_a_better_model_never_fails_where_a_worse_one_passed(
    values: list[float], gain: float
) -> None:
    names = [f"c{i}" for i in range(len(values))]
    worse = metrics(**{n: {"image_auroc": v} for n, v in zip(names, values, strict=True)})
    better = metrics(
        **{n: {"image_auroc": min(1.0, v + gain)} for n, v in zip(names, values, strict=True)}
    )
    if decide(worse, versus(worse, worse), PARAMS).passed:
        assert decide(better, versus(better, worse), PARAMS).passed


@pytest.mark.parametrize("missing", ["declared", None])
def test_an_unmeasured_false_positive_rate_is_noted(missing: str | None) -> None:
    model = metrics(bolt={"image_auroc": 0.9, "false_positive_rate": {}})
    if missing is None:
        del model["categories"]["bolt"]["false_positive_rate"]
    notes = decide(model, None, PARAMS).notes
    assert "the false-positive rate of bolt could not be measured" in notes
