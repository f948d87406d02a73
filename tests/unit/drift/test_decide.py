import json

import numpy as np
import pandas as pd
import pytest

from normscape.drift import Verdict, assign, decide, select_window
from normscape.drift.window import window_days
from normscape.errors import UsageError
from tests.unit.drift.support import history_of, rows

SIZES = {"bolt": 60, "cap": 80, "nut": 40, "pin": 30}


def verdicts(days, *, sizes=None, seed=0):
    rng = np.random.default_rng(seed)
    reference = rows(rng, sizes or SIZES)
    found = decide(*history_of(reference, [rows(rng, **each) for each in days]))
    json.dumps([each.as_dict() for each in found.categories], allow_nan=False)
    return found


def test_one_verdict_a_category():
    usual = {"sizes": {"bolt": 40, "cap": 40, "nut": 40}}
    odd = {"sizes": {"bolt": 40, "cap": 40, "nut": 3}, "shift": {"cap": 2.0}, "look": {"cap": -4}}
    found = verdicts([usual] * 20 + [odd])
    assert {each.category: str(each.verdict) for each in found.categories} == {
        "bolt": "quiet", "cap": "drift", "nut": "too_few", "pin": "silent",
    }  # fmt: skip
    assert [each.category for each in found.drifted] == ["cap"]
    assert found.of("cap").effect == pytest.approx(2, abs=0.7)
    assert found.of("cap").explanation == ("darker",)
    assert found.of("cap").adjusted < 0.01
    assert found.of("pin").effect is None
    assert set(found.trend.columns) >= {"day", "category", "images", "flagged", "shift", "alarm"}


def test_a_large_drift_is_found_on_the_first_day_of_a_model():
    found = verdicts([{"sizes": {"bolt": 20, "cap": 20}, "shift": {"cap": 4.0}}])
    assert [str(each.verdict) for each in found.categories[:2]] == ["quiet", "drift"]


def test_another_look_alone_is_not_drift():
    usual = {"sizes": {"cap": 40}}
    found = verdicts([usual] * 5 + [usual | {"look": {"cap": 5}}]).of("cap")
    assert found.verdict is Verdict.QUIET
    assert found.explanation == ("brighter",)


def test_more_defects_are_not_drift_and_drift_is_not_more_defects():
    usual = {"sizes": {"bolt": 100, "cap": 100}, "defects": {"cap": 0.01, "bolt": 0.01}}
    worse = usual | {"defects": {"cap": 0.15, "bolt": 0.01}, "shift": {"bolt": 1.0}}
    found = verdicts([usual] * 15 + [worse] * 2)
    assert found.of("cap").verdict is Verdict.RISING
    assert found.of("bolt").verdict is Verdict.DRIFT
    [rise] = found.rising
    assert rise.category == "cap"
    assert rise.rate > 0.08
    assert rise.expected < 0.04
    assert 10 < rise.flagged < 40


def test_scores_that_scatter_more_are_drift():
    usual = {"sizes": {"cap": 100}}
    found = verdicts([usual] * 10 + [usual | {"scatter": {"cap": 2.0}, "shift": {"cap": -2.0}}] * 2)
    assert found.of("cap").verdict is Verdict.DRIFT
    assert "scores more scattered" in found.of("cap").explanation
    assert found.of("cap").spread > 1.5


def test_a_category_that_stays_away():
    both, one = {"sizes": {"bolt": 20, "cap": 20}}, {"sizes": {"bolt": 20}}
    found = verdicts([both] * 12 + [one] * 6, sizes={"bolt": 40, "cap": 40})
    assert found.of("cap").verdict is Verdict.MISSING
    [silence] = found.silent_alerts
    assert (silence.category, silence.days, silence.usual_per_day) == ("cap", 6, 20)
    assert silence.last_day == "2026-01-12"
    assert not verdicts([both] * 12 + [one], sizes={"bolt": 40, "cap": 40}).silent_alerts


def test_a_creep_too_slow_for_any_day_is_called_stale_or_drift():
    days = [
        {"sizes": {"bolt": 20, "cap": 20}, "shift": {"cap": 0.03 * number}} for number in range(60)
    ]
    found = verdicts(days, sizes={"bolt": 100, "cap": 100})
    assert found.of("cap").verdict in {Verdict.STALE, Verdict.DRIFT}
    assert found.of("bolt").verdict is Verdict.QUIET


def test_a_level_that_was_never_the_references_is_stale():
    days = [{"sizes": {"bolt": 30}, "shift": {"bolt": 0.25}} for _ in range(40)]
    rng = np.random.default_rng(1)
    reference = rows(rng, {"bolt": 400})
    known, history, params = history_of(reference, [rows(rng, **each) for each in days])
    strict = params.model_copy(update={"stale_effect": 0.1, "stale_probability": 0.5})
    found = decide(known, history, strict).of("bolt")
    assert found.level == pytest.approx(0.25, abs=0.15)
    assert decide(known, history, params).of("bolt").verdict is Verdict.QUIET


@pytest.mark.parametrize("value", [1.0, 2.0])
def test_a_reference_of_equal_scores(value):
    rng = np.random.default_rng(3)
    reference, window = rows(rng, {"cap": 20}), rows(rng, {"cap": 20})
    reference["score"], window["score"] = 1.0, value
    found = decide(*history_of(reference, [window])).of("cap")
    assert found.verdict is (Verdict.QUIET if value == 1.0 else Verdict.DRIFT)
    json.dumps(found.as_dict(), allow_nan=False)


def test_nothing_scored_at_all_and_nan():
    rng = np.random.default_rng(4)
    reference = rows(rng, {"cap": 20, "nut": 20})
    nothing = decide(*history_of(reference, []))
    assert {each.verdict for each in nothing.categories} == {Verdict.SILENT}
    broken = rows(rng, {"cap": 20, "nut": 20})
    broken.loc[broken["category"] == "cap", "score"] = np.nan
    broken["sharpness"] = np.inf
    found = decide(*history_of(reference, [broken]))
    assert found.of("cap").verdict is Verdict.SILENT
    assert found.of("nut").verdict is Verdict.QUIET
    json.dumps(found.of("nut").as_dict(), allow_nan=False)


def test_one_image_a_category_waits_for_company():
    one = {"sizes": {"bolt": 1, "cap": 1}, "shift": {"cap": 4.0}}
    assert {each.verdict for each in verdicts([one] * 7).categories} == {
        Verdict.TOO_FEW, Verdict.SILENT,
    }  # fmt: skip
    found = verdicts([one] * 8)
    assert found.of("cap").verdict is Verdict.DRIFT
    assert found.of("bolt").verdict is Verdict.QUIET


def test_a_reference_of_three_images_gives_no_verdict():
    found = verdicts([{"sizes": {"bolt": 30}}] * 3, sizes={"bolt": 3})
    assert found.of("bolt").verdict is Verdict.TOO_FEW


def scored(**columns):
    size = len(next(iter(columns.values())))
    base = {
        "path": [f"{number}.png" for number in range(size)],
        "sha256": [f"{number:064d}" for number in range(size)],
        "declared_category": [None] * size,
        "predicted_category": ["cap"] * size,
        "category_p_value": [0.5] * size,
        "error": [None] * size,
        "runtime": ["torch"] * size,
        "precision": ["fp32"] * size,
    }
    return pd.DataFrame({**base, **columns})


def test_assignment_prefers_the_declared_known_category():
    found = assign(
        scored(
            declared_category=["nut", None, None, "grass"],
            predicted_category=["cap", "cap", "cap", "cap"],
            category_p_value=[0.001, 0.5, 0.001, 0.9],
        ),
        ["cap", "nut"],
        0.01,
    )
    assert found.fillna("-").tolist() == ["nut", "cap", "-", "-"]


def test_window_keeps_one_runtime_and_no_errors():
    frame = scored(
        runtime=["torch", "openvino", "torch", "torch"],
        error=[None, None, "truncated", None],
        sha256=["a", "b", "c", "a"],
    )
    found = select_window(frame, ("2026-03-14",), runtime="torch", precision="fp32")
    assert len(found.frame) == 1
    assert (found.unreadable, found.other_runtime) == (1, 1)


def test_days_of_a_window():
    assert window_days("2026-03-01", 2) == ("2026-02-28", "2026-03-01")
    with pytest.raises(UsageError, match="expected a date"):
        window_days("yesterday", 1)
