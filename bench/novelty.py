"""Does the monitor find a product that the model does not know, and only that?

    make bench-novelty      # writes bench/results/novelty.json; under 45 minutes

Some categories are left out, the others learned, and all images measured (`bench.novelty_folds`);
then groups of images are judged by the monitor's own rule (`bench.novelty_groups`). On the scale
set five times a fifth of the 160 categories is left out, on the real categories one at a time. Of
the scale set's seeds this one served no choice; the real categories did (docs/novelty.md).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench import datasets
from bench.novelty_folds import (
    DEFAULT,
    Fold,
    Images,
    leave_out,
    rates,
    train_detector,
    train_novelty,
)
from bench.novelty_groups import false_alarms, power
from bench.ours import bench_params
from bench.record import RESULTS, ROOT, Claim, write_result
from normscape.backbones import load_backbone
from normscape.backbones.runtime import available_cores
from normscape.calibration.calibrator import fit_calibration
from normscape.detectors.model import InspectionModel
from normscape.files import read_json
from normscape.novelty.inspector import Inspector
from normscape.novelty.model import Novelty
from normscape.scoring.scorer import Scorer

UNSEEN = 2
"""Data seed of the scale set."""

FOLDS = 5
ALPHA = 0.01
ROUNDS = 60
GROUPS = 4000
"""Of all categories together, for a rate of false alarms."""

BATCH = 16
ALTERNATIVES = ("levels", "mfsim", "category distance")
"""Measures whose groups are judged too."""

MIXED = 60
"""Normal images of known products beside a group of a new one."""


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.novelty")
    parser.add_argument("--quick", action="store_true", help="twelve categories; writes nothing")
    parser.add_argument("--cost", action="store_true", help="only the times, in the last result")
    arguments = parser.parse_args()
    torch.set_num_threads(available_cores())
    if arguments.cost:
        print(write_result("novelty", raw := cost_again(), claims(raw)))
        return
    quick, start = arguments.quick, time.monotonic()
    params, draws = bench_params(), 5 if quick else 25
    count = 12 if quick else datasets.SCALE_CATEGORIES
    scale = Images.of(datasets.scale_set(count, UNSEEN), params)
    raw: dict[str, Any] = {"scale": measured(scale, folds_of(scale.rows), draws)}
    if not quick:
        tables = [datasets.realbench(), datasets.table(ROOT / "data")]
        real = Images.of(pd.concat(tables, ignore_index=True), params)
        alone = [[name] for name in sorted(set(real.rows["category"]))]
        raw["real"] = measured(real, alone, draws)
    raw["cost"] = cost(scale, raw["scale"].pop("detector"))
    raw.get("real", {}).pop("detector", None)
    raw["minutes"] = round((time.monotonic() - start) / 60, 1)
    if quick:
        print(raw)
    else:
        print(write_result("novelty", raw, claims(raw)))


def cost_again() -> dict[str, Any]:
    """The figures of the last run with its times taken anew, on a machine that is quiet now."""
    last = read_json(RESULTS / "novelty.json")
    raw: dict[str, Any] = last["raw"]
    raw.setdefault("accuracy", {key: last[key] for key in ("commit", "hardware")})
    images = Images.of(datasets.scale_set(datasets.SCALE_CATEGORIES, UNSEEN), bench_params())
    model, _, seconds = train_detector(images)
    raw["scale"]["prototype_seconds"] = round(seconds, 1)
    return raw | {"cost": cost(images, model)}


def folds_of(rows: pd.DataFrame) -> list[list[str]]:
    """Five parts of the categories; those with test images are spread evenly over them."""
    tested = sorted(set(datasets.test_rows(rows)["category"]))
    others = sorted(set(rows["category"]) - set(tested))
    draw = np.random.default_rng(0)
    parts = [np.array_split(draw.permutation(names), FOLDS) for names in (tested, others)]
    return [[str(name) for part in pair for name in part] for pair in zip(*parts, strict=True)]


def measured(images: Images, parts: Sequence[Sequence[str]], draws: int) -> dict[str, Any]:
    """All figures of one table, and the detector behind the flags."""
    folds: list[Fold] = []
    for number, part in enumerate(parts, start=1):
        folds.append(leave_out(images, part))
        print(
            f"fold {number} of {len(parts)}: {folds[-1].seconds:.0f} s of training", file=sys.stderr
        )
    model, flags, seconds = train_detector(images)
    rows = images.rows
    # Few categories are judged in more groups each, so that a rate of 1 % is seen.
    many = min(6 * draws, max(draws, GROUPS // rows["category"].nunique()))
    return {
        "categories": int(rows["category"].nunique()),
        "left_out": [len(part) for part in parts],
        "calibration_images": [len(fold.calibrate) for fold in folds],
        "measures": rates(images, folds, ALPHA),
        "power": power(rows, folds, ALPHA, draws=draws),
        "power_among_known": power(rows, folds, ALPHA, draws=draws, among=MIXED),
        "false_alarms": false_alarms(rows, folds, flags, ALPHA, draws=many),
        "alternatives": {
            name: {
                "power": power(rows, folds, ALPHA, draws=draws, measure=name),
                "all_defective": false_alarms(
                    rows, folds, flags, ALPHA, draws=many, shares=[1.0], measure=name
                )["1"],
            }
            for name in ALTERNATIVES
        },
        "training_seconds": [round(fold.seconds, 1) for fold in folds],
        "prototype_seconds": round(seconds, 1),
        "detector": model,
    }


def cost(images: Images, model: InspectionModel) -> dict[str, Any]:
    """The scorer with the novelty model over the scorer without, in turns on the same images."""
    learn = np.flatnonzero(images.rows["split"] == "train")
    novelty, seconds = train_novelty(images, learn)
    scorers = {"with": _scorer(images, model, novelty), "without": _scorer(images, model, None)}
    size = images.params.backbone.input_size
    pixels = torch.rand(BATCH, 3, size, size, generator=torch.Generator().manual_seed(0))
    times: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(ROUNDS + 1):
        for name, scorer in scorers.items():
            start = time.perf_counter()
            scorer.score_batch(pixels, [None] * BATCH)
            times[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(times["with"][1:], times["without"][1:], strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "rounds": [round(ratio, 3) for ratio in ratios],
        "training_seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "parameters": sum(each.numel() for each in novelty.state_dict().values()),
    }


def _scorer(images: Images, model: InspectionModel, novelty: Novelty | None) -> Scorer:
    backbone = load_backbone(images.params.backbone, root=ROOT, cache=images.params.state / "cache")
    names = np.repeat(model.categories, 12).tolist()
    drawn = np.abs(np.random.default_rng(0).normal(size=(3, len(names))))  # costs the same
    calibration = fit_calibration(
        drawn[0], names, drawn[1], images.params.calibrate, backbone.identity,
        strangeness=None if novelty is None else drawn[2],
    )  # fmt: skip
    return Scorer(backbone, Inspector(model, novelty), calibration)


def claims(raw: dict[str, Any]) -> list[Claim]:
    """What the measurement says."""
    found = []
    for title, how in (
        ("scale", "160 drawn categories of a seed that served no choice, a fifth left out"),
        ("real", "7 real categories, one left out"),
    ):
        figures = raw[title]
        measures, alarms = figures["measures"], figures["false_alarms"]
        found += [
            _claim(f"{title}.image_auroc", measures[DEFAULT]["image_auroc"], 0.95, "at least",
                   f"images of unknown products against normal ones of known products; {how}"),
            _claim(f"{title}.mfsim_auroc", measures["mfsim"]["image_auroc"], 0.95, "at least",
                   "the same by DLSR's MFsim alone"),
            _claim(f"{title}.power", figures["power"]["mean"], 0.99, "at least",
                   "groups of 20 images of an unknown product that are called one, by the rule "
                   f"whose false discovery rate is 1 %, mean over categories; {how}"),
            _claim(f"{title}.false_alarms", alarms["0"]["mean"], 0.01, "at most",
                   "groups of 20 normal images of a known product that are called unknown"),
            _claim(f"{title}.half_defective", alarms["0.5"]["mean"], 0.01, "at most",
                   "the same where half of the images are defective"),
            _claim(f"{title}.all_defective", alarms["1"]["mean"], 0.01, "at most",
                   "the same where all are"),
        ]  # fmt: skip
    training = raw["cost"]["training_seconds"] / raw["scale"]["prototype_seconds"]
    return [
        *found,
        Claim("novelty.cost", raw["cost"]["ratio"], 1.05, "ratio", "at most",
              "time of the scorer with the novelty model over that without it, 160 categories, in "
              "turns, median"),
        Claim("novelty.training", round(training, 2), 1.0, "ratio", "at most",
              "time of training the novelty model over that of the prototypes, 160 categories, "
              "features extracted before"),
    ]  # fmt: skip


def _claim(name: str, value: float, target: float, bound: Any, how: str) -> Claim:
    return Claim(f"novelty.{name}", round(value, 4), target, "share", bound, how)


if __name__ == "__main__":
    main()
