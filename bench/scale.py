"""What one model loses when it must know 160 products instead of 5, on the scale set.

    make bench-scale        # writes bench/results/scale.json; hours the first time

The first 40 categories are tested. Each is scored by a model of its group of five and by the model
of all 160; the fall is the mean image AUROC of the former minus that of the latter. One data seed
served for choosing parameters, the other was never looked at (docs/scale-set.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import datasets
from bench.ours import OurResult, bench_params, extraction_seconds, run_ours
from bench.peers.job import Method
from bench.peers.runner import run_peer
from bench.record import Claim, write_result
from bench.score import Scores, bootstrap_difference
from normscape.evaluation.bootstrap import weighted_auroc

TUNING, UNSEEN = 0, 1
"""Data seeds."""

SEEDS = (0, 1, 2)
GROUP = 5
SIZES = (40, datasets.SCALE_CATEGORIES)
PEERS: tuple[Method, ...] = ("patchcore", "knn")

Score = Callable[[pd.DataFrame], Scores]
"""Raw scores of a table's test images by a model of all its categories, in their order."""


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.scale")
    parser.add_argument("--no-peers", action="store_true", help="leave out PatchCore and k-NN")
    arguments = parser.parse_args()
    rows = datasets.scale_set(datasets.SCALE_CATEGORIES, UNSEEN)
    raw: dict[str, Any] = {
        "unseen": measured(rows, UNSEEN, unseen=True), "training": training(rows, UNSEEN),
        "peers": {},
    }  # fmt: skip
    _write(raw)
    for method in () if arguments.no_peers else PEERS:
        raw["peers"][method] = peer(rows, method)
        _write(raw)
    rows = datasets.scale_set(datasets.SCALE_CATEGORIES, TUNING)
    raw["tuning"] = measured(rows, TUNING, unseen=False)
    _write(raw)


def _write(raw: dict[str, Any]) -> None:
    # After every part: the whole takes hours the first time.
    print(write_result("scale", raw, claims(raw)), flush=True)


def measured(rows: pd.DataFrame, data_seed: int, *, unseen: bool) -> dict[str, Any]:
    """The project's detector at every size, over the method's seeds.

    Args:
        rows: The table of all 160 categories.
        data_seed: Of the table, for messages.
        unseen: Whether the claims are made on this table: all seeds of the method, and a model for
            each category of `alone` too.
    """
    tested, test = tested_categories(rows), datasets.test_rows(rows)
    found: dict[int, list[Scores]] = {size: [] for size in (GROUP, *SIZES)}
    accuracy = []
    for seed in SEEDS if unseen else SEEDS[:1]:

        def ours(part: pd.DataFrame, seed: int = seed) -> Scores:
            return _ours(part, data_seed, seed).scores

        found[GROUP].append(in_groups(rows, groups(tested), ours))
        for size in SIZES[:-1]:
            parts = [tested[first : first + size] for first in range(0, len(tested), size)]
            found[size].append(in_groups(rows, parts, ours))
        whole = _ours(rows, data_seed, seed)
        found[SIZES[-1]].append(whole.scores)
        accuracy.append(whole.record["category_accuracy"])
    largest = np.stack(found[SIZES[-1]])
    result: dict[str, Any] = {
        "image_auroc": {
            str(size): [mean_auroc(test, scores) for scores in runs] for size, runs in found.items()
        },
        "fall": bootstrap_difference(test, np.stack(found[GROUP]), largest),
        "category_accuracy": accuracy,
    }
    if unseen:
        names = alone(tested)
        chosen = test["category"].isin(names).to_numpy()
        scores = in_groups(
            datasets.choose(rows, names),
            [[name] for name in names],
            lambda part: _ours(part, data_seed, SEEDS[0]).scores,
        )
        part = test[chosen].reset_index(drop=True)
        result["single"] = bootstrap_difference(part, scores, largest[:1, chosen])
        result["single"]["image_auroc"] = mean_auroc(part, scores)
    return result


def tested_categories(rows: pd.DataFrame) -> list[str]:
    """The categories with test images, in their order."""
    return sorted(set(datasets.test_rows(rows)["category"]))


def groups(tested: Sequence[str]) -> list[list[str]]:
    """Disjoint groups of five, in order."""
    return [list(tested[first : first + GROUP]) for first in range(0, len(tested), GROUP)]


def alone(tested: Sequence[str]) -> list[str]:
    """The categories that get a model of their own: every second one."""
    return list(tested[::2])


def in_groups(rows: pd.DataFrame, parts: Sequence[Sequence[str]], score: Score) -> Scores:
    """Scores of all test images of `rows`, each by the model of its group."""
    test = datasets.test_rows(rows)
    found = np.full(len(test), np.nan, dtype=np.float32)
    for names in parts:
        inside = test["category"].isin(names).to_numpy()
        found[inside] = score(datasets.choose(rows, names))
    return found


def mean_auroc(test: pd.DataFrame, scores: Scores) -> float:
    """Mean image AUROC over the categories of a test table."""
    values = []
    for _, part in test.groupby("category"):
        labels, own = part["label"].to_numpy(), scores[part.index]
        sides = own[labels == 0], own[labels == 1]
        ones = (np.ones((1, len(side)), dtype=np.int64) for side in sides)
        values.append(weighted_auroc(*sides, *ones)[0])
    return float(np.mean(values))


def training(rows: pd.DataFrame, data_seed: int) -> dict[str, float]:
    """Seconds from images to a model of 160 categories, and its size."""
    record = _ours(rows, data_seed, SEEDS[0]).record
    seconds = record["seconds"]
    return {
        "features": round(extraction_seconds(rows, bench_params()), 1),
        "prototypes": seconds["prototypes"],
        "detector": seconds["detector"],
        "threads": record["threads"],
        "model_mib": round(record["model_bytes"] / 2**20, 1),
    }


def peer(rows: pd.DataFrame, method: Method) -> dict[str, Any]:
    """The fall of a peer, one seed."""
    tested, test = tested_categories(rows), datasets.test_rows(rows)

    def theirs(part: pd.DataFrame) -> Scores:
        return run_peer(method, part, 0).scores

    small, large = in_groups(rows, groups(tested), theirs), theirs(rows)
    return bootstrap_difference(test, small, large) | {
        str(GROUP): mean_auroc(test, small),
        str(SIZES[-1]): mean_auroc(test, large),
    }


def claims(raw: dict[str, Any]) -> list[Claim]:
    """What the measurement says."""
    unseen = raw["unseen"]
    seconds = sum(raw["training"][step] for step in ("features", "prototypes", "detector"))
    return [
        Claim(
            "scale.fall_upper", round(100 * unseen["fall"]["high"], 2), 1.0, "points", "at most",
            "upper 95 % limit of the fall of mean image AUROC from 5 to 160 categories, 40 tested, "
            f"{len(SEEDS)} seeds, data never used for choosing",
        ),
        Claim(
            "scale.single", round(100 * unseen["single"]["difference"], 2), 1.0, "points",
            "at most", "one model for each of 20 categories, minus the model of 160 on the same",
        ),
        Claim(
            "scale.training", round(seconds / 60, 1), 15.0, "minutes", "at most",
            "from images to a model of 160 categories, 20 normal images each, features included",
        ),
    ]  # fmt: skip


def _ours(rows: pd.DataFrame, data_seed: int, seed: int) -> OurResult:
    count = rows["category"].nunique()
    name = f"scale {data_seed}, {count} categories from {rows['category'].min()}"
    return run_ours(rows, bench_params(), seed, name=name)


if __name__ == "__main__":
    main()
