"""What the comparison of the detectors makes of their answers; none is trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import relatives, render
from bench.ours import OurResult, bench_params, source_hash, with_changes
from bench.relatives_fusion import fused, learning_alone
from normscape.detectors.kinds import NAMES


def table(calibration: int = 40) -> pd.DataFrame:
    rows = [
        {"category": category, "split": split, "label": label, "group": "g", "mask": None}
        for category in ("bottle", "nut")
        for split, label, count in (
            ("train", 0, 5), ("calibration", 0, calibration), ("test", 0, 30), ("test", 1, 30),
        )
        for _ in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(sha256=range(len(rows)), path=Path("x"))


def answers(judged: pd.DataFrame, gain: float, seed: int, scale: float = 1.0) -> Any:
    random = np.random.default_rng(seed)
    base = judged["category"].map({"bottle": 5.0, "nut": 50.0}).to_numpy()
    scores = (base + scale * (gain * judged["label"] + random.normal(size=len(judged)))).to_numpy()
    return scores.astype(np.float32), scores[:, None, None] * np.ones((1, 2, 2))


def test_every_row_is_a_valid_choice() -> None:
    chosen = {
        name: with_changes(bench_params(), changes) for name, changes in relatives.ROWS.items()
    }
    assert {params.detector.name for params in chosen.values()} == set(NAMES)
    assert len({params.fingerprint() for params in chosen.values()}) == len(chosen)
    assert set(relatives.DETECTORS) <= set(chosen)


def test_each_detector_has_sources_of_its_own() -> None:
    assert len({source_hash(name) for name in NAMES}) == len(NAMES)


def test_the_fusion_is_calibrated_by_images_that_nobody_learned_from() -> None:
    judged = learning_alone(table())
    assert set(judged[judged["held_out"]]["split"]) == {"test"}
    assert not (judged["split"] == "calibration").any()
    judged = judged[judged["split"] == "test"].reset_index(drop=True)
    one, other = answers(judged, 1.0, 1), answers(judged, 1.0, 2, scale=100.0)
    scores, maps = fused(judged, [one, other])
    test = judged[~judged["held_out"].to_numpy()]
    assert len(scores) == len(maps) == len(test)
    normal = scores[(test["label"] == 0).to_numpy()]
    assert abs(normal.mean()) < 0.3
    # Scales are forgotten: the mean of two equally good detectors separates better than either.
    defective = scores[(test["label"] == 1).to_numpy()]
    assert (defective.mean() - normal.mean()) / normal.std() > 1.1
    np.testing.assert_allclose(maps[:, 0, 0], scores, rtol=1e-4, atol=1e-4)
    again, _ = fused(judged, [one, (1000.0 * other[0] + 7.0, 1000.0 * other[1] + 7.0)])
    np.testing.assert_allclose(again, scores, rtol=1e-3, atol=1e-3)


def test_the_table_shows_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    test = table()
    test = test[test["split"] == "test"].reset_index(drop=True)
    record = {
        "seconds": {"prototypes": 3.0, "detector": 4.0}, "threads": 1, "steps": 5, "best_step": 5,
        "model_bytes": 2**21, "category_accuracy": 1.0,
    }  # fmt: skip

    def run(rows: pd.DataFrame, _changes: Any, seed: int) -> OurResult:
        judged = rows[rows["split"] == "test"].reset_index(drop=True)
        held = judged.get("held_out", pd.Series(False, index=judged.index))
        found = answers(judged.assign(held_out=held), 2.0, seed)
        return OurResult(*found, record, Path("model"))

    monkeypatch.setattr(relatives, "_run", run)
    runs = [run(test, {}, seed) for seed in relatives.SEEDS]
    rows = {name: relatives.row(test, runs) for name in relatives.ROWS}
    raw: dict[str, Any] = {
        "rows": rows, "scale": {name: relatives.row(test, runs[:1]) for name in rows},
        "fusion": relatives.fusion(table()),
        "behind": {key: {"difference": 0.01, "low": 0.0, "high": 0.02} for key in [*rows][1:]},
        "cost": {
            "images_per_second": {name: [50.0, 60.0] for name in rows},
            "memory_mib": dict.fromkeys(rows, 300.0),
        },
    }  # fmt: skip
    found = {claim.id: claim.value for claim in relatives.claims(raw)}
    assert found["relatives.proad_behind"] == 0.0
    assert found["relatives.proad_speed"] == 1.0
    assert found["relatives.fusion_gain"] == pytest.approx(0.0, abs=5.0)
    lines = render.relatives(raw)
    assert all(any(line.startswith(f"| {name} |") for line in lines) for name in rows)
    assert any("1.0 [0.0, 2.0]" in line for line in lines)
    raw["rows"] = {relatives.FIRST: raw["rows"][relatives.FIRST]}
    assert render.relatives({"rows": raw["rows"], "scale": {}, "behind": {}})
