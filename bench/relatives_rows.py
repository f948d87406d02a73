"""One table's rows: each detector and option trained, scored and measured, seed by seed.

A model learns from the images of `train` alone; those of `calibration` say which maps are refined
and put both detectors on one scale, as in the pipeline.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.ours import bench_params, with_changes
from bench.refine import Base, asked, base_of, drdc, maps_of, refiner_of
from bench.relatives_fusion import fused
from bench.score import Scores, bootstrap_difference, measure
from normscape.params import Params
from normscape.refine.model import Refiner

FUSION = "fusion of both"
REFINED = "{}, refined"


@dataclass
class Rows:
    """What is known of a table so far.

    Attributes:
        rows: The table, of `bench.datasets`.
        found: By row, JSON values: `runs`, what `measure` gives for each seed, and `records`, what
            training took; of refined rows `refined_share` of the test images by label as well.
        scores: By row, `(N,)` image scores of each seed.
        test: The rows of the test images.
        first: By row, what it is for the first seed: a detector, and its refiner where it has one.
    """

    rows: pd.DataFrame
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, list[Scores]] = field(default_factory=dict)
    test: pd.DataFrame = field(default_factory=pd.DataFrame)
    first: dict[str, tuple[Base, Refiner | None]] = field(default_factory=dict)

    def together(self, detectors: Mapping[str, Mapping[str, Any]], seed: int) -> None:
        """Measure detectors of a seed, their refined maps, and their fusion.

        Args:
            detectors: Changes of `params.yaml` by the row's name.
            seed: Of prototypes, detectors and refiner.
        """
        bases = []
        for name, changes in detectors.items():
            bases.append(self.alone(name, changes, seed))
            self._refined(REFINED.format(name), bases[-1], _params(changes, seed))
        scores, maps = fused(bases)
        self._take(FUSION, scores, measure(self.test, scores, maps), {})

    def alone(self, name: str, changes: Mapping[str, Any], seed: int) -> Base:
        """Measure one detector of a seed."""
        print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
        base = base_of(self.rows, _params(changes, seed))
        self.test = base.test
        self.first.setdefault(name, (base, None))
        self._take(name, base.scores, measure(base.test, base.scores, base.maps), _took(base))
        return base

    def facts(self, reference: str) -> dict[str, Any]:
        """All rows, and by how much each is behind one of them in mean image AUROC."""
        whole = np.stack(self.scores[reference])
        behind = {
            name: bootstrap_difference(self.test, whole[: len(scores)], np.stack(scores))
            for name, scores in self.scores.items()
            if name != reference
        }
        return {"rows": self.found, "behind": behind}

    def _refined(self, name: str, base: Base, params: Params) -> None:
        refiner, record = refiner_of(self.rows, params)
        self.first.setdefault(name, (base, refiner))
        wanted = asked(base, refiner)
        maps = maps_of("refined", base, refiner, wanted)
        took = _took(base)
        took["train_seconds"] = round(took["train_seconds"] + record["seconds"], 1)
        found = measure(base.test, base.scores, maps)
        self._take(name, None, found, took)
        labels = base.test["label"].to_numpy()
        shares = [float(wanted[labels == label].mean()) for label in (0, 1)]
        self.found[name].setdefault("refined_share", []).append(shares)

    def _take(
        self, name: str, scores: Scores | None, found: dict[str, Any], took: dict[str, Any]
    ) -> None:
        kept = self.found.setdefault(name, {"runs": [], "records": []})
        kept["runs"].append(found)
        if took:
            kept["records"].append(took)
        if scores is not None:
            self.scores.setdefault(name, []).append(scores)


def means(run: Mapping[str, Any], categories: Sequence[str] | None) -> dict[str, float]:
    """Of each metric, the mean over those categories of a run that have it; None: over all."""
    chosen = [
        found
        for name, found in run["categories"].items()
        if categories is None or name in categories
    ]
    metrics = dict.fromkeys(metric for found in chosen for metric in found)
    return {
        metric: float(np.mean([found[metric] for found in chosen if metric in found]))
        for metric in metrics
    }


def _params(changes: Mapping[str, Any], seed: int) -> Params:
    seeds = {"prototypes.seed": seed, "detector.seed": seed, "refine.seed": seed}
    return drdc(with_changes(bench_params(), {**changes, **seeds}))


def _took(base: Base) -> dict[str, Any]:
    record = base.record
    seconds = record["seconds"]
    return {
        "train_seconds": round(seconds["prototypes"] + seconds["detector"], 1),
        "threads": record["threads"],
        "steps": record["steps"],
        "best_step": record["best_step"],
        "model_mib": round(record["model_bytes"] / 2**20, 1),
    }
