"""What each part and parameter of the detector is worth, on seven categories.

    make bench-ablation     # writes bench/results/ablation.json

Every row differs from `params.yaml` in the values that it names. Rows whose parameters only change
how a trained model scores use the default's model (`bench.ours.scoring`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench import datasets
from bench.ours import bench_params, run_ours, with_changes
from bench.record import write_result
from bench.score import measure

DEFAULT = "default"
METRICS = ("image_auroc", "pixel_auroc", "aupro")

_DIFFUSION = {"detector.prototype_share": 0.65}

ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    (DEFAULT, {}),
    ("diffusion, 35 % of the map", _DIFFUSION),
    ("score of the top 0.3 %", {"maps.top_fraction": 0.003}),
    ("score of the top 3 %", {"maps.top_fraction": 0.03}),
    ("1 routed category", {"prototypes.routed_categories": 1}),
    ("diffusion alone", {"detector.prototype_share": 0.0}),
    ("grid 32", {"features.grid": 32}),
    ("neighbourhood 3", {"features.neighbourhood": 3}),
    ("levels weighted alike", {"features.level_weights": [1.0, 1.0, 1.0]}),
    ("levels weighted 3 : 1 : 2", {"features.level_weights": [3.0, 1.0, 2.0]}),
    ("a tenth whitened", {"features.whitening": 0.1}),
    ("half whitening", {"features.whitening": 0.5}),
    ("128 dimensions", {"features.dimensions": 128}),
    ("512 local prototypes a category", {"prototypes.local_per_category": 512}),
    ("Euclidean distances", {"prototypes.norm_power": 0.0}),
    ("cosine distances", {"prototypes.norm_power": 1.0}),
    ("diffusion, 2 sampler steps", _DIFFUSION | {"detector.sampler_steps": 2}),
    ("diffusion from step 100", _DIFFUSION | {"detector.noise_step": 100}),
    ("diffusion from step 500", _DIFFUSION | {"detector.noise_step": 500}),
    ("diffusion, no loss of the global bank", _DIFFUSION | {"detector.global_weight": 0.0}),
    ("diffusion, no loss of the local bank", _DIFFUSION | {"detector.local_weight": 0.0}),
    ("2,048 local prototypes a category", {"prototypes.local_per_category": 2048}),
    ("all 7 categories routed", {"prototypes.routed_categories": 7}),
    ("diffusion, 4 sampler steps", _DIFFUSION | {"detector.sampler_steps": 4}),
)
"""Name and changes; values that are the default's already give the default's figures."""


def main() -> None:
    """Run or read every row, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.ablation")
    parser.add_argument("--seeds", type=int, default=3, help="of every row (3)")
    seeds = range(parser.parse_args().seeds)
    table = pd.concat(
        [datasets.realbench(), datasets.demo((*datasets.TEXTURES, *datasets.SOLAR))],
        ignore_index=True,
    )
    rows: dict[str, dict[str, Any]] = {}
    for name, changes in ROWS:
        rows[name] = measured(table, name, changes, seeds)
        scores = {done: row["image_auroc"] for done, row in rows.items()}
        raw = {"rows": rows, "selection": selection(scores), "seeds": len(seeds)}
        print(name, write_result("ablation", raw, []), flush=True)


def measured(
    table: pd.DataFrame, name: str, changes: Mapping[str, Any], seeds: Iterable[int]
) -> dict[str, Any]:
    """One row: changes, means over categories a seed, and image AUROC by category over seeds."""
    params = with_changes(bench_params(), changes)
    means: dict[str, list[float]] = {metric: [] for metric in METRICS}
    categories: dict[str, list[float]] = {}
    for seed in seeds:
        result = run_ours(table, params, seed, name=f"ablation, {name}")
        found = measure(datasets.test_rows(table), result.scores, result.maps)
        for metric in METRICS:
            means[metric].append(found["mean"][metric])
        for category, figures in found["categories"].items():
            categories.setdefault(category, []).append(figures["image_auroc"])
    return {
        "changes": dict(changes),
        "means": means,
        "image_auroc": {category: float(np.mean(runs)) for category, runs in categories.items()},
    }


def selection(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """What choosing a row costs or gains on a category that had no say in the choice.

    Args:
        scores: Image AUROC of each row on each category.

    Returns:
        For each category the row with the best mean over the others (the earlier one on a tie),
        its figure on this category, and the default's.
    """
    found = {}
    for category in scores[DEFAULT]:
        others = {
            row: float(np.mean([value for name, value in found_on.items() if name != category]))
            for row, found_on in scores.items()
        }
        best = max(others, key=others.__getitem__)
        found[category] = {
            "row": best,
            "image_auroc": scores[best][category],
            "default": scores[DEFAULT][category],
        }
    return found


if __name__ == "__main__":
    main()
