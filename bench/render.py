"""The tables of single benchmarks in `bench/README.md`, from their raw figures."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, median
from typing import Any

from bench.markdown import interval, table, with_spread
from bench.render_detectors import relatives

_NAMES = {
    "normscape": "Normscape", "patchcore": "PatchCore", "padim": "PaDiM", "knn": "k-NN",
}  # fmt: skip

_MAPS = {
    "base": "as the detector gives them", "refined": "refined",
    "picture": "the same fusion, guided by the picture", "unguided": "the same fusion, no guide",
    "smooth_8": "smoothed by 8 pixels", "smooth_16": "smoothed by 16 pixels",
}  # fmt: skip

_SCORERS = {
    "scorer": "Normscape, whole scorer", "backbone": "its backbone alone",
    "patchcore_torch": "PatchCore as shipped",
    "patchcore_openvino": "PatchCore with the converted backbone",
}  # fmt: skip


def peers(raw: dict[str, Any]) -> list[str]:
    """Means over categories with their spread over seeds, and differences with intervals."""
    columns = {"image_auroc": "I-AUROC", "pixel_auroc": "P-AUROC", "aupro": "AUPRO"}
    rows = []
    for method in (name for name in _NAMES if name in raw):
        mean_of, spread = raw[method]["mean"], raw["spread"].get(method)
        cells = [f"{mean_of[m]:.3f}" + (f" ± {spread[m]:.3f}" if spread else "") for m in columns]
        gap = raw["differences"].get(method)
        rows.append([_NAMES[method], *cells, interval(gap) if gap else ""])
    head = ["mean ± spread over seeds", *columns.values(), "I-AUROC points behind [95 %]"]
    return table(head, rows)


def speed(raw: dict[str, Any]) -> list[str]:
    """Images a second of every scorer, and memory."""
    rows = [
        [_SCORERS[name], f"{median(rates):.1f}", f"{min(rates):.1f} to {max(rates):.1f}"]
        for name, rates in raw["images_per_second"].items()
    ]
    memory = raw["memory_gib"]
    return [
        *table(["images a second", "median", "rounds"], rows),
        "",
        f"Resident memory of the scorer: {memory['now']:.2f} GiB, {memory['peak']:.2f} at most.",
    ]


def scale(raw: dict[str, Any]) -> list[str]:
    """Mean image AUROC by the number of categories, the fall, and the time of training."""
    sizes = sorted(raw["unseen"]["image_auroc"], key=int)
    rows = [
        [
            f"Normscape, {title} data",
            *(f"{mean(raw[title]['image_auroc'][size]):.3f}" for size in sizes),
            interval(raw[title]["fall"]),
            f"{mean(raw[title]['category_accuracy']):.3f}",
        ]
        for title in ("unseen", "tuning")
        if title in raw
    ]
    rows += [
        [
            f"{_NAMES[method]}, unseen data",
            *(f"{found[size]:.3f}" if size in found else "-" for size in sizes),
            interval(found),
            "-",
        ]
        for method, found in raw["peers"].items()
    ]
    head = ["mean I-AUROC of 40 categories, model of", *sizes]
    seconds = raw["training"]
    return [
        *table([*head, "fall in points [95 %]", "category recognised"], rows),
        "",
        f"Training on {sizes[-1]} categories: features {seconds['features']:.0f} s, prototypes "
        f"{seconds['prototypes']:.0f} s, detector {seconds['detector']:.0f} s on "
        f"{seconds['threads']} thread(s); the model has {seconds['model_mib']} MiB.",
    ]


def ablation(raw: dict[str, Any]) -> list[str]:
    """Every row's means with their spread, and what choosing a row is worth elsewhere."""
    columns = {"image_auroc": "I-AUROC", "pixel_auroc": "P-AUROC", "aupro": "AUPRO"}
    rows = [
        [name, *(with_spread(row["means"][metric]) for metric in columns)]
        for name, row in raw["rows"].items()
    ]
    chosen = [
        [category, found["row"], f"{found['image_auroc']:.3f}", f"{found['default']:.3f}"]
        for category, found in raw["selection"].items()
    ]
    return [
        *table([f"mean ± spread over {raw['seeds']} seeds", *columns.values()], rows),
        "",
        *table(["category left out", "row best on the others", "its I-AUROC", "default"], chosen),
    ]


def drift(raw: dict[str, Any]) -> list[str]:
    """False alarms in a plant-year by the days' offset and by sizes, and delays of real changes."""
    charts = ("location", "spread", "tail")
    quiet = [
        [
            f"{offset} sd",
            f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]",
            *(f"{mean(year[name] for year in row['alarms']):.1f}" for name in charts),
            f"{row['bonferroni']:,.0f}",
            f"{row['evidently']:,.0f}",
        ]
        for offset, row in raw["quiet"].items()
    ]
    sizes = [[name, *(f"{row[chart]}" for chart in charts)] for name, row in raw["sizes"].items()]
    power = [
        [
            name, str(row["changes"]), f"{row['median_days']:.0f}",
            *(f"{row['within'][days]:.0%}" for days in sorted(row["within"], key=int)),
            f"{row['ks_within']['3']:.0%}", f"{row['ks_within']['14']:.0%}",
        ]
        for name, row in raw["power"].items()
    ]  # fmt: skip
    return [
        *table(
            ["false alarms in a plant-year, by the days' offset", "all [95 %]", *charts,
             "KS, Bonferroni", "KS at 0.05 (Evidently)"], quiet,
        ),
        "",
        *table(["in one plant-year, reference / images a day, offset 0.1 sd", *charts], sizes),
        "",
        "KS in the last columns is tuned to as many false alarms as the charts raise.",
        "",
        *table(
            ["found, of", "changes", "median days", "in 1 day", "3", "7", "14", "KS in 3", "14"],
            power,
        ),
    ]  # fmt: skip


_SETTINGS = {"scale": "160 drawn categories", "real": "7 real categories"}
_MEASURES = {
    "strangeness": "**the default**: all levels' distances and MFsim",
    "levels": "the distances of all levels, without DLSR",
    "level 0": "category distance, first level", "level 1": "second level",
    "level 2": "third level", "mfsim": "DLSR, MFsim", "mse": "DLSR, MSE",
    "category distance": "category distance of the detector's tokens",
    "pooled category distance": "category distance of all levels, average-pooled",
    "nearest pooled image": "nearest training image, average-pooled",
}  # fmt: skip


def novelty(raw: dict[str, Any]) -> list[str]:
    """Every measure by itself, and the decisions over groups."""
    lines = []
    for setting, title in _SETTINGS.items():
        found = raw[setting]["measures"]
        rows = [
            [
                name,
                *(f"{found[key][column]:.4f}" for column in ("image_auroc", "against_defects")),
                *(
                    f"{100 * found[key][column]:.1f}"
                    for column in ("normals", "found", "worst_found", "defects", "worst_defects")
                ),
            ]
            for key, name in _MEASURES.items()
        ]
        head = [
            f"{title}, strange at 1 %", "AUROC against normals", "against defects", "normals, %",
            "unknown, %", "worst category", "defects, %", "worst category",
        ]  # fmt: skip
        lines += [*table(head, rows), ""]
    rows = []
    for setting, title in _SETTINGS.items():
        figures = raw[setting]
        alarms = [figures["false_alarms"][share] for share in ("0", "0.5", "1")]
        groups = [figures["power"], figures["power_among_known"], *alarms]
        rows.append([title, *(_percent(group) for group in groups)])
        rows += [
            [
                f"- by {_MEASURES[name]}",
                _percent(other["power"]),
                "",
                "",
                "",
                _percent(other["all_defective"]),
            ]
            for name, other in figures["alternatives"].items()
        ]
    head = [
        "groups of 20 called unknown, % [95 %]", "new product", "among 60 known", "known, normal",
        "half defective", "all defective",
    ]  # fmt: skip
    return [*lines, *table(head, rows)]


def refine(raw: dict[str, Any]) -> list[str]:
    """Pixel metrics of every kind of map, and what refinement costs."""
    columns = {
        "pixel_auroc": "P-AUROC", "pixel_ap": "P-AP", "pixel_f1max": "P-F1max", "aupro": "AUPRO",
    }  # fmt: skip
    figures, cost, shares = raw["figures"], raw["cost"], raw["refined_share"]
    rows = [
        [f"{category}, {_MAPS[kind]}", *(with_spread(figures[kind][category][m]) for m in columns)]
        for category, found in figures["base"].items()
        if "pixel_ap" in found
        for kind in _MAPS
    ]
    return [
        *table([f"mean ± spread over {len(raw['seeds'])} seeds", *columns.values()], rows),
        "",
        f"Refined are the maps of {mean(shares['anomalous']):.0%} of the anomalous and "
        f"{mean(shares['normal']):.0%} of the normal test images. Training takes "
        f"{median(raw['training_seconds']):.0f} s (median) on {raw['threads']} thread(s). The "
        f"scorer takes {cost['base_ms']:.1f} ms an image without a refiner, "
        f"{cost['flagged']:.1f} times that for an image that is refined and "
        f"{cost['unflagged']:.2f} times for one that is not.",
    ]


def _percent(found: dict[str, float]) -> str:
    mean_of, low, high = (100 * found[name] for name in ("mean", "low", "high"))
    return f"{mean_of:.1f} [{low:.1f}, {high:.1f}]"


RENDERERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "ablation": ablation, "drift": drift, "novelty": novelty, "peers": peers, "refine": refine,
    "relatives": relatives, "scale": scale, "speed": speed,
}  # fmt: skip
"""By the name of the result file."""
