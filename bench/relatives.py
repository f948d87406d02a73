"""The detectors that `detector.name` chooses, and their options, side by side.

    make bench-relatives    # writes bench/results/relatives.json; under 90 minutes of new runs

One model of seven real and drawn categories for each row: three seeds for each detector, with and
without refined maps, and for the fusion of both; one seed for each variant of Pro-AD. Then one
model of 160 drawn categories. All learn from the train split alone, see `bench.relatives_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, median
from typing import Any

import pandas as pd
import torch

from bench import datasets
from bench.record import Claim, write_result
from bench.relatives_cost import cost
from bench.relatives_rows import FUSION, REFINED, Rows, means
from normscape.backbones.runtime import available_cores

SEEDS = (0, 1, 2)
SCALE_SEED = 1
"""Of the scale set's data: the one that served no choice."""

FIRST, SECOND = "DPDiff", "Pro-AD"
REAL = ("biscuit", "bottle", "magnetic_tile")
"""Categories of `datasets.realbench`."""

DEMO = (*datasets.TEXTURES, *datasets.SOLAR)

_PROAD = {"detector.name": "proad"}
_FREE = {"proad.neighbours": None}

DETECTORS: dict[str, dict[str, Any]] = {FIRST: {}, SECOND: _PROAD}
"""Changes of `params.yaml`: these are measured with every seed, refined, fused, and at 160."""

VARIANTS: dict[str, dict[str, Any]] = {
    f"Pro-AD, {count} prototypes{', no constraint' * bool(free)}": _PROAD
    | {"proad.prototypes": count}
    | free
    for count in (6, 64, 512, 2048)
    for free in ({}, _FREE)
    if free or count != 2048
}
"""What the constraint is worth, by the number of prototypes; 2,048 with it is `SECOND`."""


def main() -> None:
    """Measure every row, write the result after each part."""
    torch.set_num_threads(available_cores())
    raw: dict[str, Any] = {"seeds": list(SEEDS), "real": list(REAL), "demo": list(DEMO)}
    rows = Rows(seven())
    for seed in SEEDS:
        rows.together(DETECTORS, seed)
        raw["seven"] = rows.facts(FIRST)
        _write(raw)
    scale = Rows(datasets.scale_set(datasets.SCALE_CATEGORIES, SCALE_SEED))
    scale.together(DETECTORS, SEEDS[0])
    raw["scale"] = scale.facts(FIRST)
    del scale  # its maps are large
    _write(raw)
    for name, changes in VARIANTS.items():
        rows.alone(name, changes, SEEDS[0])
        raw["seven"] = rows.facts(FIRST)
        _write(raw)
    raw["cost"] = cost(rows.first, rows.test)
    print(_write(raw))


def seven() -> pd.DataFrame:
    """The table of `bench.ablation`: three real categories, and the demo's four."""
    return pd.concat([datasets.realbench(), datasets.demo(DEMO)], ignore_index=True)


def claims(raw: Mapping[str, Any]) -> list[Claim]:
    """What is known so far."""
    found = []
    if "seven" in raw:
        rows = raw["seven"]["rows"]

        def auroc(name: str, categories: tuple[str, ...] | None = None) -> float:
            return mean(means(run, categories)["image_auroc"] for run in rows[name]["runs"])

        behind = auroc(FIRST, REAL) - auroc(SECOND, REAL)
        gain = auroc(FUSION) - max(auroc(name) for name in DETECTORS)
        seeds = len(rows[FIRST]["runs"])
        found += [
            Claim(
                "relatives.proad_behind", round(100 * behind, 2), 1.0, "points", "at most",
                f"mean image AUROC of {', '.join(REAL)} over {seeds} seeds, DPDiff's minus "
                "Pro-AD's, one model of seven categories each",
            ),
            Claim(
                "relatives.fusion_gain", round(100 * gain, 2), 0.0, "points", "at least",
                f"mean image AUROC of seven categories over {seeds} seeds, the fusion's minus the "
                "better detector's; put on one scale by the calibration split",
            ),
        ]  # fmt: skip
        for metric, title in (("pixel_ap", "pixel AP"), ("pixel_f1max", "pixel F1max")):
            gains = [
                mean(means(run, None)[metric] for run in rows[REFINED.format(name)]["runs"])
                - mean(means(run, None)[metric] for run in rows[name]["runs"])
                for name in DETECTORS
            ]
            found.append(
                Claim(
                    f"relatives.refined_{metric}", round(100 * min(gains), 2), 0.0, "points",
                    "at least",
                    f"mean {title} of the four categories with masks over {seeds} seeds, refined "
                    "maps minus the detector's, the smaller gain of both detectors",
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


def _write(raw: dict[str, Any]) -> str:
    return str(write_result("relatives", raw, claims(raw)))


if __name__ == "__main__":
    main()
