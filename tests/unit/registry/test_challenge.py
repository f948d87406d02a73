"""The rules between champion and challenger, and the sentences in which they are explained."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from normscape.evaluation.paired import Contrast, Contrasts, PairedScores, compare_scores
from normscape.registry.challenge import Comparison, figure_table
from normscape.registry.decision import GateDecision
from normscape.registry.gate import decide
from normscape.sections.delivery import GateParams

PARAMS = GateParams()


def contrast(challenger: float, champion: float, half: float = 0.01, images: int = 60) -> Contrast:
    difference = challenger - champion
    return Contrast(images, challenger, champion, difference - half, difference + half)


def paired(overall: Contrasts, **categories: Contrasts) -> PairedScores:
    return PairedScores(0.95, overall, categories)


def judged(found: PairedScores | None, **changes: Any) -> GateDecision:
    names = list(found.categories) if found else ["bolt"]
    one = {
        "image_auroc": 0.9,
        "false_positive_rate": {"declared": {"flagged": 0, "images": 20, "low": 0.0}},
    }
    mean = {"image_auroc": 0.9}
    metrics = {"mean": mean, "worst": mean, "pooled": {}, "categories": dict.fromkeys(names, one)}
    values = {"images": 60, "left_out": 0, "removed": (), **changes}
    return decide(metrics, Comparison("v0001", found, **values), PARAMS)


def failed(decision: GateDecision) -> list[tuple[str, str | None]]:
    return [(check.name, check.category) for check in decision.failures]


def test_a_mean_that_is_shown_not_to_be_worse_passes() -> None:
    decision = judged(paired(Contrasts(image_auroc=contrast(0.895, 0.90)), bolt=Contrasts()))
    assert decision.passed
    sentence = next(each for each in decision.explain() if "champion_tolerance" in each)
    assert sentence == (
        "lower limit of the difference in mean image AUROC from v0001 (0.8950 against 0.9000 on 60 "
        "images, 95% interval -0.0150 to +0.0050) is -0.0150; gate.champion_tolerance asks for at "
        "least -0.0200: kept with 0.0050 to spare"
    )


def test_a_mean_that_may_be_worse_fails_and_says_what_would_help() -> None:
    decision = judged(paired(Contrasts(image_auroc=contrast(0.90, 0.90, half=0.05))))
    assert failed(decision) == [("champion_tolerance", None)]
    assert any("60 images cannot show" in note and "add test images" in note
               for note in decision.notes)  # fmt: skip
    worse = judged(paired(Contrasts(image_auroc=contrast(0.85, 0.90))))
    assert failed(worse) == [("champion_tolerance", None)]
    assert not any("cannot show" in note for note in worse.notes)


def test_a_single_category_fails_only_when_it_is_worse_beyond_doubt() -> None:
    overall = Contrasts(image_auroc=contrast(0.90, 0.90))
    lost = Contrasts(image_auroc=contrast(0.78, 0.90, half=0.03))
    assert failed(judged(paired(overall, bolt=lost, nut=overall))) == [
        ("champion_category_tolerance", "bolt")
    ]
    unsure = Contrasts(image_auroc=contrast(0.78, 0.90, half=0.10))
    decision = judged(paired(overall, bolt=unsure, nut=overall))
    assert decision.passed
    notes = " ".join(decision.notes)
    assert "the category that lost most image AUROC against v0001 is bolt: 0.7800" in notes
    assert "watch image AUROC of bolt: -0.1200, more than 0.05, which 60 images do not" in notes


def test_localisation_is_compared_too() -> None:
    lost = Contrasts(image_auroc=contrast(0.9, 0.9), localisation=contrast(0.90, 0.98))
    decision = judged(paired(lost, bolt=lost))
    assert failed(decision) == [
        ("champion_tolerance", None), ("champion_category_tolerance", "bolt"),
    ]  # fmt: skip
    assert "mean pixel AUROC within an image" in decision.explain()[0]


@pytest.mark.parametrize(
    ("key", "parameter", "word"),
    [("escapes", "escape_tolerance", "missed defects"),
     ("false_alarms", "false_alarm_tolerance", "false alarms")],
)  # fmt: skip
def test_decisions_that_are_worse_beyond_doubt_fail(key: str, parameter: str, word: str) -> None:
    worse = Contrasts(**{key: Contrast(40, 0.5, 0.25, 0.11, 0.39)})
    decision = judged(paired(worse, bolt=worse))
    assert failed(decision) == [(parameter, None), (parameter, "bolt")]
    assert f"rise in {word} over v0001 (20 against 10 of 40, 95%" in decision.explain()[0]
    unsure = Contrasts(**{key: Contrast(40, 0.5, 0.4, -0.1, 0.3)})
    decision = judged(paired(unsure, bolt=unsure))
    assert decision.passed
    assert any(f"watch {word} of bolt: +0.1000" in note for note in decision.notes)
    better = Contrasts(**{key: Contrast(40, 0.25, 0.5, -0.39, -0.11)})
    assert judged(paired(better, bolt=better)).passed


def test_new_and_removed_categories_and_left_out_images_are_reported() -> None:
    found = paired(Contrasts(image_auroc=contrast(0.9, 0.9)), bolt=Contrasts())
    notes = " ".join(judged(found, removed=("nut",), left_out=3).notes)
    assert "known to v0001 and no longer to this model: nut" in notes
    assert "3 test images were left out" in notes
    assert "compared with v0001 on 60 test images" in notes


def test_nothing_in_common_leaves_the_absolute_thresholds() -> None:
    decision = judged(None, images=0)
    assert decision.passed
    assert decision.paired is None
    assert any("shares no category" in note for note in decision.notes)
    assert "new or not comparable, absolute thresholds only: bolt" in decision.notes


def test_the_figures_survive_json_and_are_tabled() -> None:
    every = Contrasts(*(contrast(0.9, 0.8),) * 4)
    decision = judged(paired(every, bolt=every, nut=Contrasts(image_auroc=contrast(0.7, 0.8))))
    assert GateDecision.from_dict(json.loads(json.dumps(decision.as_dict()))) == decision
    assert decision.paired is not None
    header, rows = figure_table(decision.paired)
    assert {len(row) for row in rows} == {len(header)}
    assert [row[0] for row in rows] == ["bolt", "nut", "all"]
    assert rows[1][1:] == ("0.800 to 0.700 (-0.110 to -0.090)", "-", "-", "-")


def table(seed: int, shift: float, images: int = 40) -> pd.DataFrame:
    """Four categories whose images are hard to both models alike."""
    random = np.random.default_rng(seed)
    label = np.tile(np.repeat([0, 1], images // 2), 4)
    common = np.random.default_rng(7).normal(size=len(label)) + 1.8 * label
    score = common + random.normal(0, 0.05, len(label)) - shift * label
    frame = pd.DataFrame(
        {
            "path": [f"{number:04d}.png" for number in range(len(label))],
            "category": np.repeat(list("abcd"), images),
            "label": label,
            "score": score.astype(np.float32),
            "localisation": np.nan,
        }
    )
    return frame.assign(flagged_declared=pd.array(score > 1.3, dtype="boolean"))


@pytest.mark.parametrize("seed", range(10))
def test_two_equal_models_pass_each_other(seed: int) -> None:
    one, two = table(seed, 0.0, images=80), table(seed + 100, 0.0, images=80)
    assert judged(compare_scores(one, two, PARAMS.confidence)).passed


@pytest.mark.parametrize("seed", range(10))
def test_a_clearly_worse_model_never_passes_and_its_rival_does(seed: int) -> None:
    good, bad = table(seed, 0.0), table(seed + 100, 0.9)
    assert not judged(compare_scores(bad, good, PARAMS.confidence)).passed
    assert judged(compare_scores(good, bad, PARAMS.confidence)).passed


def test_a_wider_tolerance_never_fails_what_a_narrower_one_passed() -> None:
    found = compare_scores(table(1, 0.2), table(2, 0.0), 0.95)
    outcomes = []
    for tolerance in (0.0, 0.01, 0.05, 0.2):
        limits = GateParams(champion_tolerance=tolerance, champion_category_tolerance=tolerance)
        comparison = Comparison("v0001", found, 160, 0, ())
        checks = decide(
            {"mean": {}, "worst": {}, "categories": {}}, comparison,
            limits.model_copy(update={"min_mean_image_auroc": 0, "min_worst_image_auroc": 0}),
        )  # fmt: skip
        outcomes.append(checks.passed)
    assert outcomes == sorted(outcomes)


def test_one_collapsed_category_does_not_hide_in_the_mean() -> None:
    champion, challenger = table(1, 0.0), table(2, -0.6)
    collapsed = table(2, 1.8)
    own = challenger["category"] == "c"
    challenger[own] = collapsed[own]
    found = compare_scores(challenger, champion, 0.95)
    overall = found.overall.image_auroc
    assert overall
    found = replace(found, overall=Contrasts(image_auroc=replace(overall, low=0.0)))
    assert failed(judged(found)) == [
        ("champion_category_tolerance", "c"), ("escape_tolerance", "c"),
    ]  # fmt: skip
