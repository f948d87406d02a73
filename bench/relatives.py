"""The detectors that `detector.name` chooses, and their options, side by side.

    make bench-relatives    # writes bench/results/relatives.json; under 90 minutes of new runs

One model of seven real and drawn categories for each row, three seeds for each detector and one
for each variant of Pro-AD, and one of 160 drawn categories for each detector. Rows that another
benchmark has measured are read from its cache. The fusion is of its own: both detectors learn from
the train split alone there, and the calibration split says how their scores are put on one scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from bench import datasets
from bench.ours import OurResult, bench_params, run_ours, with_changes
from bench.peers_race import averaged, spread
from bench.record import Claim, write_result
from bench.relatives_cost import cost
from bench.relatives_fusion import fused, learning_alone
from bench.score import Scores, bootstrap_difference, measure

SEEDS = (0, 1, 2)
SCALE_SEED = 1
"""Of the scale set's data: the one that served no choice."""

FIRST, SECOND = "DPDiff", "Pro-AD"
FUSION = "fusion of both"
REAL = ("biscuit", "bottle", "magnetic_tile")
"""Categories of `datasets.realbench`."""

_PROAD = {"detector.name": "proad"}
_FREE = {"proad.neighbours": None}

ROWS: dict[str, dict[str, Any]] = {
    FIRST: {},
    SECOND: _PROAD,
    "Pro-AD, no constraint": _PROAD | _FREE,
    **{
        f"Pro-AD, {count} prototypes{', no constraint' * bool(free)}": _PROAD
        | {"proad.prototypes": count}
        | free
        for count in (64, 6)
        for free in ({}, _FREE)
    },
}
"""Changes of `params.yaml`; an option such as a refinement of the maps is one more row."""

DETECTORS = (FIRST, SECOND)
"""Rows that are also trained on the scale set, timed side by side and fused."""


def main() -> None:
    """Run or read every row, measure, write the result after each part."""
    rows = seven()
    test = datasets.test_rows(rows)
    raw: dict[str, Any] = {"rows": {}, "scale": {}}
    scores: dict[str, list[Scores]] = {}
    models = {}
    for name, changes in ROWS.items():
        seeds = SEEDS if name in DETECTORS else SEEDS[:1]
        runs = [_run(rows, changes, seed) for seed in seeds]
        raw["rows"][name] = row(test, runs)
        scores[name] = [run.scores for run in runs]
        models[name] = runs[0].model
        _write(raw, scores, test)
    raw["fusion"] = fusion(rows)
    _write(raw, scores, test)
    scale = datasets.scale_set(datasets.SCALE_CATEGORIES, SCALE_SEED)
    for name in DETECTORS:
        run = _run(scale, ROWS[name], SEEDS[0])
        raw["scale"][name] = row(datasets.test_rows(scale), [run])
        _write(raw, scores, test)
    raw["cost"] = cost({name: models[name] for name in ROWS}, test)
    print(_write(raw, scores, test))


def seven() -> pd.DataFrame:
    """The table of `bench.ablation`: three real categories, and the demo's four."""
    demo = datasets.demo((*datasets.TEXTURES, *datasets.SOLAR))
    return pd.concat([datasets.realbench(), demo], ignore_index=True)


def row(test: pd.DataFrame, runs: Sequence[OurResult]) -> dict[str, Any]:
    """Figures over seeds: all seven metrics, means on the real categories, and what it took."""
    found = [measure(test, run.scores, run.maps) for run in runs]
    return figures(found) | {"records": [_took(run.record) for run in runs]}


def figures(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over runs of what `measure` gives, their spread, and image AUROC run by run."""
    names = [name for name in REAL if name in found[0]["categories"]]
    real = [[run["categories"][name]["image_auroc"] for name in names] for run in found]
    return {
        "all": averaged(found),
        "spread": spread(found) if len(found) > 1 else {},
        "image_auroc": [run["mean"]["image_auroc"] for run in found],
        "real_image_auroc": [float(np.mean(values)) for values in real] if names else [],
    }


def fusion(rows: pd.DataFrame) -> dict[str, Any]:
    """Both detectors that learned from the train split alone, and their calibrated mean."""
    table = learning_alone(rows)
    judged = datasets.test_rows(table)
    normal = (judged["held_out"]).to_numpy()
    test = judged[~normal].reset_index(drop=True)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*DETECTORS, FUSION)}
    scores: dict[str, list[Scores]] = {name: [] for name in found}
    for seed in SEEDS:
        runs = [_run(table, ROWS[name], seed) for name in DETECTORS]
        both, maps = fused(judged, [(run.scores, run.maps) for run in runs])
        answers = [(run.scores[~normal], run.maps[~normal]) for run in runs]
        for name, (image, pixels) in zip(found, [*answers, (both, maps)], strict=True):
            found[name].append(measure(test, image, pixels))
            scores[name].append(image)
    together = np.stack(scores[FUSION])
    return {
        "rows": {name: figures(runs) for name, runs in found.items()},
        "gain": {
            name: bootstrap_difference(test, together, np.stack(scores[name])) for name in DETECTORS
        },
    }


def claims(raw: Mapping[str, Any]) -> list[Claim]:
    """What is known so far."""
    found = []
    if SECOND in raw["rows"]:
        behind = [np.mean(raw["rows"][name]["real_image_auroc"]) for name in DETECTORS]
        found.append(
            Claim(
                "relatives.proad_behind", round(100 * float(behind[0] - behind[1]), 2), 1.0,
                "points", "at most",
                f"mean image AUROC of {', '.join(REAL)} over {len(SEEDS)} seeds, DPDiff's minus "
                "Pro-AD's, one model of seven categories each",
            )
        )  # fmt: skip
    if "fusion" in raw:
        gains = [raw["fusion"]["gain"][name]["difference"] for name in DETECTORS]
        found.append(
            Claim(
                "relatives.fusion_gain", round(100 * min(gains), 2), 0.0, "points", "at least",
                "mean image AUROC of seven categories, the fusion's minus the better detector's; "
                "both learned from the train split, put on one scale by the calibration split",
            )
        )  # fmt: skip
    if "cost" in raw:
        rates = raw["cost"]["images_per_second"]
        ratios = [ours / first for ours, first in zip(rates[SECOND], rates[FIRST], strict=True)]
        found.append(
            Claim(
                "relatives.proad_speed", round(median(ratios), 2), 0.5, "ratio", "at least",
                "images a second of Pro-AD over DPDiff's, from cached feature maps, in turns",
            )
        )  # fmt: skip
    return found


def _run(rows: pd.DataFrame, changes: Mapping[str, Any], seed: int) -> OurResult:
    return run_ours(rows, with_changes(bench_params(), changes), seed, name="relatives")


def _took(record: Mapping[str, Any]) -> dict[str, Any]:
    seconds = record["seconds"]
    return {
        "train_seconds": round(seconds["prototypes"] + seconds["detector"], 1),
        "threads": record["threads"],
        "steps": record["steps"],
        "best_step": record["best_step"],
        "model_mib": round(record["model_bytes"] / 2**20, 1),
        "category_accuracy": record["category_accuracy"],
    }


def _write(raw: dict[str, Any], scores: Mapping[str, Sequence[Scores]], test: pd.DataFrame) -> str:
    ours = np.stack(scores[FIRST])
    raw["behind"] = {
        name: bootstrap_difference(test, ours[: len(runs)], np.stack(runs))
        for name, runs in scores.items()
        if name != FIRST
    }
    return str(write_result("relatives", raw, claims(raw)))


if __name__ == "__main__":
    main()
