import json

import numpy as np
import pandas as pd
import pytest

from normscape.drift import Verdict, assign, decide, select_window
from normscape.drift.window import window_days
from normscape.errors import UsageError
from normscape.params import MonitorParams

PARAMS = MonitorParams()


def frame(rng, sizes, *, score=None, look=None):
    """Generated rows; `score` and `look` shift the scores and the brightness of a category."""
    parts = []
    for category, size in sizes.items():
        shift, dark = (score or {}).get(category, 0.0), (look or {}).get(category, 0.0)
        parts.append(
            pd.DataFrame(
                {
                    "category": category,
                    "score": rng.gamma(4.0, size=size) + 2.0 * shift,
                    "mean_intensity": 0.5 + 0.02 * (rng.normal(size=size) + dark),
                    "std_intensity": 0.2 + 0.01 * rng.normal(size=size),
                    "sharpness": np.exp(rng.normal(size=size) * 0.2 - 3),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_one_verdict_a_category():
    rng = np.random.default_rng(0)
    reference = frame(rng, {"bolt": 40, "nut": 12, "cap": 80, "pin": 30})
    window = frame(rng, {"bolt": 30, "nut": 3, "cap": 25}, score={"cap": 3}, look={"cap": -4})
    found = decide(reference, window, PARAMS)
    verdicts = {each.category: each.verdict for each in found.categories}
    assert verdicts == {
        "bolt": Verdict.QUIET,
        "cap": Verdict.DRIFT,
        "nut": Verdict.TOO_FEW,
        "pin": Verdict.SILENT,
    }
    assert [each.category for each in found.drifted] == ["cap"]
    assert found.of("cap").effect > 1.5
    assert found.of("cap").explanation == ("darker",)
    assert found.of("pin").effect is None
    json.dumps([each.as_dict() for each in found.categories], allow_nan=False)


def test_another_look_alone_is_not_drift():
    rng = np.random.default_rng(1)
    found = decide(frame(rng, {"cap": 60}), frame(rng, {"cap": 40}, look={"cap": 5}), PARAMS).of(
        "cap"
    )
    assert found.verdict is Verdict.QUIET
    assert found.explanation == ("brighter",)


@pytest.mark.slow
def test_many_quiet_categories_raise_one_day_in_a_hundred():
    rng = np.random.default_rng(2)
    sizes = {f"part{number}": int(rng.choice([12, 20, 60])) for number in range(8)}
    alarms = 0
    for _ in range(100):
        offsets = {name: 0.25 * rng.normal() for name in sizes}
        window = frame(rng, dict.fromkeys(sizes, 15), score=offsets)
        alarms += bool(decide(frame(rng, sizes), window, PARAMS).drifted)
    assert alarms <= 5  # P(more than 5 | rate 0.01) = 0.0005


def test_every_image_of_a_constant_reference():
    rng = np.random.default_rng(3)
    reference, window = frame(rng, {"cap": 20}), frame(rng, {"cap": 20})
    reference["score"] = 1.0
    found = decide(reference, window, PARAMS).of("cap")
    assert found.verdict is Verdict.DRIFT
    json.dumps(found.as_dict(), allow_nan=False)


def test_nothing_scored_at_all():
    rng = np.random.default_rng(4)
    reference = frame(rng, {"cap": 20, "nut": 20})
    found = decide(reference, reference.iloc[:0], PARAMS)
    assert {each.verdict for each in found.categories} == {Verdict.SILENT}


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
    rows = scored(
        declared_category=["nut", None, None, "grass"],
        predicted_category=["cap", "cap", "cap", "cap"],
        category_p_value=[0.001, 0.5, 0.001, 0.9],
    )
    found = assign(rows, ["cap", "nut"], 0.01)
    assert found.fillna("-").tolist() == ["nut", "cap", "-", "-"]


def test_window_keeps_one_runtime_and_no_errors():
    rows = scored(
        runtime=["torch", "openvino", "torch", "torch"],
        error=[None, None, "truncated", None],
        sha256=["a", "b", "c", "a"],
    )
    found = select_window(rows, ("2026-03-14",), runtime="torch", precision="fp32")
    assert len(found.frame) == 1
    assert (found.unreadable, found.other_runtime) == (1, 1)


def test_days_of_a_window():
    assert window_days("2026-03-01", 2) == ("2026-02-28", "2026-03-01")
    with pytest.raises(UsageError, match="expected a date"):
        window_days("yesterday", 1)
