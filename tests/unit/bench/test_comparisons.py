"""Sums that the comparisons make of scores; no method is run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import ablation, datasets, peers_race, quick, render, scale, scorer, speed
from bench.record import RESULTS
from bench.score import bootstrap_difference

METRICS = ("image_auroc", "pixel_auroc", "aupro")


def _table(categories: int, images: int = 6) -> pd.DataFrame:
    rows = [
        {
            "category": f"{number:03}_nut",
            "split": split,
            "label": place % 2 if split == "test" else 0,
        }
        for number in range(categories)
        for split in ("train", "test")
        for place in range(images)
    ]
    return pd.DataFrame(rows)


def test_every_image_is_scored_by_the_model_of_its_group() -> None:
    rows = _table(10)
    tested = scale.tested_categories(rows)
    parts = scale.groups(tested)
    assert [len(part) for part in parts] == [5, 5]
    assert scale.alone(tested) == tested[::2]

    def score(part: pd.DataFrame) -> Any:
        assert part["category"].nunique() == 5
        test = datasets.test_rows(part)
        return test["category"].str[:3].astype(int).to_numpy() + 0.5 * test["label"].to_numpy()

    found = scale.in_groups(rows, parts, score)
    test = datasets.test_rows(rows)
    assert np.isfinite(found).all()
    assert (np.floor(found) == test["category"].str[:3].astype(int)).all()
    assert scale.mean_auroc(test, found) == 1.0


def test_runs_are_averaged_over_the_same_images() -> None:
    test = datasets.test_rows(_table(3, images=40))
    labels = test["label"].to_numpy()
    random = np.random.default_rng(0)
    good, bad = (labels * gain + random.normal(size=len(test)) for gain in (3.0, 0.5))
    one = bootstrap_difference(test, good, bad)
    assert bootstrap_difference(test, np.stack([good, good]), np.stack([bad])) == one
    mixed = bootstrap_difference(test, np.stack([good, bad]), np.stack([bad, bad]))
    assert mixed["difference"] == pytest.approx(one["difference"] / 2)
    assert mixed["low"] == pytest.approx(one["low"] / 2)


def test_a_category_has_no_say_in_the_row_it_gets() -> None:
    scores = {
        ablation.DEFAULT: {"a": 0.8, "b": 0.8, "c": 0.8},
        "lucky on a": {"a": 1.0, "b": 0.7, "c": 0.7},
    }
    found = ablation.selection(scores)
    assert found["a"] == {"row": ablation.DEFAULT, "image_auroc": 0.8, "default": 0.8}
    assert found["b"]["row"] == "lucky on a"
    assert (found["b"]["image_auroc"], found["b"]["default"]) == (0.7, 0.8)


def test_rows_have_distinct_names_and_the_default_is_first() -> None:
    names = [name for name, _ in ablation.ROWS]
    assert names[0] == ablation.DEFAULT
    assert len(set(names)) == len(names)


def test_the_better_rival_counts() -> None:
    def figures(value: float) -> dict[str, Any]:
        mean = dict.fromkeys(METRICS, value)
        return {"mean": mean, "pooled": mean, "categories": {"nut": mean}}

    raw: dict[str, Any] = {
        method: peers_race.averaged([figures(value), figures(value + 0.02)])
        for method, value in (("normscape", 0.9), ("patchcore", 0.85), ("padim", 0.7), ("knn", 0.8))
    }
    raw["spread"] = {method: dict.fromkeys(METRICS, 0.01) for method in list(raw)}
    gaps = {"patchcore": 0.05, "padim": 0.2, "knn": 0.1}
    raw["differences"] = {m: {"difference": g, "low": g - 0.01, "high": g + 0.01}
                          for m, g in gaps.items()}  # fmt: skip
    claims = {claim.id: claim for claim in peers_race.claims(raw)}
    assert claims["peers.image_auroc"].value == 5.0
    assert claims["peers.image_auroc_lower"].value == 4.0
    assert claims["peers.aupro_padim"].value == 20.0
    assert all(claim.holds for claim in claims.values())
    lines = render.peers(raw)
    assert lines[2].startswith("| Normscape | 0.910 ± 0.010 |")
    assert "| 5.0 [4.0, 6.0] |" in lines[3]


def test_speed_is_compared_round_by_round() -> None:
    raw = {
        "images_per_second": {
            "scorer": [50.0, 60.0, 70.0], "backbone": [100.0, 100.0, 100.0],
            "patchcore_torch": [10.0, 10.0, 10.0], "patchcore_openvino": [20.0, 20.0, 20.0],
        },
        "backbone": {"runtime": "openvino", "precision": "bf16"},
        "memory_gib": {"now": 0.8, "peak": 1.2},
    }  # fmt: skip
    assert [claim.value for claim in speed.claims(raw)] == [0.6, 6.0, 1.2]
    assert [claim.holds for claim in speed.claims(raw)] == [True, True, False]
    assert "| Normscape, whole scorer | 60.0 | 50.0 to 70.0 |" in render.speed(raw)


def test_pixels_become_a_batch() -> None:
    found = scorer.batch(np.full((2, 4, 4, 3), 255, dtype=np.uint8))
    assert found.shape == (2, 3, 4, 4)
    assert bool((found == 1.0).all())


def test_scale_says_what_falls() -> None:
    fall = {"difference": 0.005, "low": 0.001, "high": 0.009}
    part = {"image_auroc": {"5": [0.9], "160": [0.89]}, "fall": fall, "category_accuracy": [0.99]}
    raw: dict[str, Any] = {
        "unseen": part | {"single": fall},
        "tuning": part,
        "training": {"features": 60.0, "prototypes": 30.0, "detector": 90.0, "threads": 2,
                     "model_mib": 12.0},
        "peers": {"knn": fall | {"5": 0.8, "160": 0.7}},
    }  # fmt: skip
    assert [claim.value for claim in scale.claims(raw)] == [0.9, 0.5, 3.0]
    text = "\n".join(render.scale(raw))
    assert "| Normscape, unseen data | 0.900 | 0.890 | 0.5 [0.1, 0.9] | 0.990 |" in text
    assert "| k-NN, unseen data | 0.800 | 0.700 |" in text


def test_ablation_is_rendered() -> None:
    row = {"means": {metric: [0.8, 0.9] for metric in METRICS}}
    chosen = {"nut": {"row": "default", "image_auroc": 0.8, "default": 0.8}}
    lines = render.ablation({"rows": {"default": row}, "selection": chosen, "seeds": 2})
    assert lines[2].startswith("| default | 0.850 ± 0.071 |")
    assert lines[-1] == "| nut | default | 0.800 | 0.800 |"


def test_the_quick_test_is_smaller_and_trains_on_all() -> None:
    rows = quick.fewer_tests(_table(2, images=60))
    assert (rows["split"] == "train").sum() == 120
    assert datasets.test_rows(rows).groupby(["category", "label"]).size().tolist() == [20] * 4


def test_a_renderer_belongs_to_a_benchmark() -> None:
    makefile = (RESULTS.parent.parent / "Makefile").read_text(encoding="utf-8")
    assert all(f"\nbench-{name}:" in makefile for name in render.RENDERERS)


def test_scale_sets_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from normscape.data.synth import ScaleSet

    drawn = []

    def build(folder: Path, plan: ScaleSet) -> None:
        drawn.append(plan)
        folder.mkdir()

    monkeypatch.setattr(datasets, "SCALE", tmp_path)
    monkeypatch.setattr(datasets, "build_scale_set", build)
    monkeypatch.setattr(datasets, "table", lambda _folder: _table(4))
    assert datasets.scale_set(2, 7)["category"].nunique() == 2
    assert set(datasets.scale_set(["003_nut"], 7)["category"]) == {"003_nut"}
    assert [plan.seed for plan in drawn] == [7]
    with pytest.raises(Exception, match="no 9_bolt"):
        datasets.scale_set(["9_bolt"], 7)
