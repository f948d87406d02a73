"""The gate's decisions and the sentences in which it explains them."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normscape.registry.gate import GateDecision, Metrics, decide
from normscape.sections.delivery import GateParams

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
    if decide(worse, None, PARAMS).passed:
        assert decide(better, None, PARAMS).passed


@pytest.mark.parametrize("missing", ["declared", None])
def test_an_unmeasured_false_positive_rate_is_noted(missing: str | None) -> None:
    model = metrics(bolt={"image_auroc": 0.9, "false_positive_rate": {}})
    if missing is None:
        del model["categories"]["bolt"]["false_positive_rate"]
    notes = decide(model, None, PARAMS).notes
    assert "the false-positive rate of bolt could not be measured" in notes


def test_of_a_threshold_that_many_categories_keep_the_closest_is_told() -> None:
    model = metrics(
        **{
            f"c{number:03d}": {
                "image_auroc": 0.9,
                "false_positive_rate": rate(flagged=number, images=200, low=number / 1000),
            }
            for number in range(160)
        }
    )
    sentences = decide(model, None, PARAMS).explain()
    assert len(sentences) == 3
    assert sentences[-1].startswith("gate.max_false_positive_rate is kept in 160 checks")
    assert "(159 of 200 normals flagged) of c159" in sentences[-1]


def test_a_decision_of_the_first_release_still_loads() -> None:
    check = {
        "name": "champion_tolerance", "metric": "mean image AUROC", "category": None,
        "value": 0.9, "limit": 0.88, "at_least": True, "passed": True,
    }  # fmt: skip
    content = {"passed": True, "checks": [check], "notes": ["a note"], "champion": "v0001"}
    decision = GateDecision.from_dict(content)
    assert decision.paired is None
    assert decision.explain() == [
        "mean image AUROC is 0.9000; gate.champion_tolerance asks for at least 0.8800: "
        "kept with 0.0200 to spare",
        "a note",
    ]
