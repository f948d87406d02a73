"""What the comparison of the detectors makes of their answers; none is trained."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bench import relatives, relatives_rows, render_detectors
from bench.ours import bench_params, source_hash, with_changes
from bench.refine import Base
from bench.relatives_fusion import fused
from bench.relatives_rows import FUSION, REFINED, Rows, means
from normscape.calibration.calibrator import fit_calibration
from normscape.detectors.kinds import NAMES
from normscape.params import Params

CENTRES = {"bottle": 5.0, "biscuit": 50.0}


def table(split: str, normal: int, anomalous: int) -> pd.DataFrame:
    rows = [
        {"category": category, "split": split, "label": label, "group": str(place), "mask": None}
        for category in CENTRES
        for label, count in ((0, normal), (1, anomalous))
        for place in range(count)
    ]
    return pd.DataFrame(rows)


def base(gain: float, seed: int, scale: float = 1.0, shift: float = 0.0) -> Base:
    """A detector whose scores of anomalous images are `gain` spreads higher."""
    random = np.random.default_rng(seed)
    test, held = table("test", 30, 30), table("calibration", 40, 0)

    def scores(rows: pd.DataFrame) -> Any:
        centre = rows["category"].map(CENTRES).to_numpy()
        noise = random.normal(size=len(rows))
        return (shift + scale * (centre + gain * rows["label"].to_numpy() + noise)).astype("f4")

    found, normal = scores(test), scores(held)
    calibration = fit_calibration(
        normal,
        held["category"].tolist(),
        np.zeros(len(held)),
        bench_params().calibrate,
        SimpleNamespace(runtime="torch", precision="fp32"),  # type: ignore[arg-type]
    )
    return Base(
        test=test, scores=found, maps=found[:, None, None] * np.ones((1, 2, 2), dtype="f4"),
        categories=test["category"].tolist(), held=held, held_scores=normal,
        calibration=calibration, model=Path("model"),
        record={
            "seconds": {"prototypes": 3.0, "detector": 4.0}, "threads": 1, "steps": 5,
            "best_step": 5, "model_bytes": 2**21,
        },
    )  # fmt: skip


def test_every_row_is_a_valid_choice() -> None:
    rows = relatives.DETECTORS | relatives.VARIANTS
    chosen = {name: with_changes(bench_params(), changes) for name, changes in rows.items()}
    assert {params.detector.name for params in chosen.values()} == set(NAMES)
    assert len({params.fingerprint() for params in chosen.values()}) == len(chosen)


def test_each_detector_has_sources_of_its_own() -> None:
    assert len({source_hash(name) for name in NAMES}) == len(NAMES)


def test_the_fusion_is_calibrated_by_images_that_nobody_learned_from() -> None:
    one, other = base(1.0, 1), base(1.0, 2, scale=100.0)
    scores, maps = fused([one, other])
    labels = one.test["label"].to_numpy()
    normal, defective = scores[labels == 0], scores[labels == 1]
    assert abs(normal.mean()) < 0.3
    # Scales are forgotten: the mean of two equally good detectors separates better than either.
    assert (defective.mean() - normal.mean()) / normal.std() > 1.1
    np.testing.assert_allclose(maps[:, 0, 0], scores, rtol=1e-3, atol=1e-3)
    again, _ = fused([one, base(1.0, 2, scale=1000.0, shift=7.0)])
    np.testing.assert_allclose(again, scores, rtol=1e-2, atol=1e-2)


def test_the_fusion_never_reads_the_declared_category_of_a_test_image() -> None:
    one, other = base(1.0, 1), base(1.0, 2)
    expected, _ = fused([one, other])
    for each in (one, other):
        each.test["category"] = "unknown"
    np.testing.assert_array_equal(fused([one, other])[0], expected)


def test_means_are_over_those_categories_that_have_a_metric() -> None:
    run = {"categories": {"a": {"x": 1.0, "y": 0.2}, "b": {"x": 0.0}, "c": {"x": 0.5}}}
    assert means(run, ("a", "b")) == {"x": 0.5, "y": 0.2}
    assert means(run, None)["x"] == 0.5


def test_the_tables_show_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relatives_rows, "base_of", lambda _rows, params: base(2.0, seed_of(params)))
    refiner = SimpleNamespace(wanted=lambda p: p <= 0.05)
    monkeypatch.setattr(relatives_rows, "refiner_of", lambda *_: (refiner, {"seconds": 2.0}))
    monkeypatch.setattr(relatives_rows, "maps_of", lambda _kind, own, *_: own.maps)
    monkeypatch.setattr(relatives_rows, "measure", with_pixels)
    rows = Rows(table("test", 30, 30))
    for seed in relatives.SEEDS:
        rows.together(relatives.DETECTORS, seed)
    for name, changes in relatives.VARIANTS.items():
        rows.alone(name, changes, 0)
    options = [REFINED.format(name) for name in relatives.DETECTORS]
    raw: dict[str, Any] = {
        "real": list(CENTRES), "demo": ["bottle"], "seven": rows.facts(relatives.FIRST),
        "scale": rows.facts(relatives.FIRST),
        "cost": {
            "images_per_second": {name: [50.0, 60.0] for name in rows.found if name not in options},
            "refined": {key: {"base_ms": 7.0, "flagged": 5.0, "unflagged": 1.0} for key in options},
            "memory_mib": dict.fromkeys(rows.found, 300.0),
        },
    }  # fmt: skip
    found = {claim.id: claim.value for claim in relatives.claims(raw)}
    assert found["relatives.proad_behind"] == 0.0
    assert found["relatives.proad_speed"] == 1.0
    assert found["relatives.fusion_gain"] == pytest.approx(0.0, abs=5.0)
    assert found["relatives.refined_pixel_ap"] == 0.0
    assert raw["seven"]["rows"][options[0]]["records"][0]["train_seconds"] == 9.0
    normal, anomalous = raw["seven"]["rows"][options[0]]["refined_share"][0]
    assert normal < 0.3 < anomalous
    lines = render_detectors.relatives(raw)
    names = [*relatives.DETECTORS, *options, FUSION, *relatives.VARIANTS]
    assert all(any(line.startswith(f"| {name} |") for line in lines) for name in names)
    assert any("9 | 9 | 2 |  | 5.0 / 1.00 |" in line for line in lines)
    unfinished = {key: raw[key] for key in ("real", "demo", "seven")}
    assert len(render_detectors.relatives(unfinished)) < len(lines)


def seed_of(params: Params) -> int:
    assert params.detector.seed == params.prototypes.seed == params.refine.seed
    return params.detector.seed


def with_pixels(rows: pd.DataFrame, scores: Any, maps: Any) -> dict[str, Any]:
    from bench.score import measure

    found = measure(rows, scores, maps)
    for each in found["categories"].values():
        each.update(dict.fromkeys(("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro"), 0.5))
    return found


def test_what_is_asked_of_a_refiner_are_p_values() -> None:
    one = base(3.0, 0)
    p_values = one.calibration.p_value(one.scores, one.categories)
    wanted = torch.from_numpy(p_values) <= 0.05
    assert wanted[one.test["label"].to_numpy() == 1].float().mean() > 0.5
