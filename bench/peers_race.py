"""The project's detector against its peers on five real categories, one model for all of them.

    make bench-peers        # writes bench/results/peers.json; needs make bench-peers-env

Three seeds of the detector and of PatchCore; PaDiM keeps all channels and so draws nothing, and
the draw of k-NN is large. Differences of the mean image AUROC come with a paired bootstrap over
the test images, drawn once for all seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import datasets
from bench.ours import OurResult, bench_params, run_ours
from bench.peers.job import METHODS
from bench.peers.runner import PeerResult, run_peer
from bench.record import Claim, write_result
from bench.score import Scores, bootstrap_difference, measure

SEEDS = (0, 1, 2)
OURS = "normscape"
RIVALS = ("patchcore", "padim")
_NAMES = {"patchcore": "PatchCore", "padim": "PaDiM"}
_PIXEL = {"pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}


def main() -> None:
    """Run or read every method, measure, write the result."""
    rows = datasets.real()
    test = datasets.test_rows(rows)
    scores: dict[str, list[Scores]] = {}
    figures: dict[str, list[dict[str, Any]]] = {}
    records: dict[str, dict[str, Any]] = {}

    def add(method: str, result: OurResult | PeerResult) -> None:
        scores.setdefault(method, []).append(result.scores)
        figures.setdefault(method, []).append(measure(test, result.scores, result.maps))
        records.setdefault(method, result.record)

    for seed in SEEDS:
        add(OURS, run_ours(rows, bench_params(), seed, name="peers"))
    for method in METHODS:
        for seed in SEEDS if method == "patchcore" else SEEDS[:1]:
            add(method, run_peer(method, rows, seed))
    raw: dict[str, Any] = {method: averaged(runs) for method, runs in figures.items()}
    raw["spread"] = {method: spread(runs) for method, runs in figures.items() if len(runs) > 1}
    raw["seeds"] = {method: [run["mean"] for run in runs] for method, runs in figures.items()}
    raw["records"] = records
    raw["differences"] = differences(test, scores)
    print(write_result("peers", raw, claims(raw)))


def averaged(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over runs of nested figures that have the same keys."""
    first = runs[0]
    return {
        key: averaged([run[key] for run in runs])
        if isinstance(first[key], dict)
        else float(np.mean([run[key] for run in runs]))
        for key in first
    }


def spread(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Standard deviation over runs of each mean over categories."""
    return {
        metric: float(np.std([run["mean"][metric] for run in runs], ddof=1))
        for metric in runs[0]["mean"]
    }


def differences(test: pd.DataFrame, scores: dict[str, list[Scores]]) -> dict[str, Any]:
    """Mean image AUROC of the project's detector minus that of each other method."""
    ours = np.stack(scores[OURS])
    return {
        method: bootstrap_difference(test, ours, np.broadcast_to(np.stack(theirs), ours.shape))
        for method, theirs in scores.items()
        if method != OURS
    }


def claims(raw: dict[str, Any]) -> list[Claim]:
    """What the race says."""
    best = max(RIVALS, key=lambda method: raw[method]["mean"]["image_auroc"])
    gain = raw["differences"][best]
    how = f"mean image AUROC of 5 categories over {len(SEEDS)} seeds, minus {_NAMES[best]}'s"
    found = [
        Claim(
            "peers.image_auroc", round(100 * gain["difference"], 2), 3.0, "points", "at least", how
        ),
        Claim(
            "peers.image_auroc_lower", round(100 * gain["low"], 2), 0.0, "points", "at least",
            "lower limit of its 95 % interval, paired bootstrap over the test images",
        ),
    ]  # fmt: skip
    for metric, title in _PIXEL.items():
        for method in RIVALS:
            value = raw[OURS]["mean"][metric] - raw[method]["mean"][metric]
            found.append(
                Claim(
                    f"peers.{metric}_{method}", round(100 * value, 2), 0.0, "points", "at least",
                    f"mean {title} of the categories with masks, minus {_NAMES[method]}'s",
                )
            )  # fmt: skip
    return found


if __name__ == "__main__":
    main()
