"""The tables of `make bench-relatives`: all metrics on each set, what it takes, the constraint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from bench.markdown import interval, table, with_spread
from bench.relatives_rows import means

METRICS = {
    "image_auroc": "I-AUROC", "image_ap": "I-AP", "image_f1max": "I-F1max",
    "pixel_auroc": "P-AUROC", "pixel_ap": "P-AP", "pixel_f1max": "P-F1max", "aupro": "AUPRO",
}  # fmt: skip

_BEHIND = "I-AUROC points behind the first [95 %]"


def relatives(raw: Mapping[str, Any]) -> list[str]:
    """Metrics by set, what training and scoring take, and the variants of Pro-AD."""
    seven = raw["seven"]
    variants = sorted((name for name in seven["rows"] if "prototypes" in name), key=_count)
    main = [name for name in seven["rows"] if name not in variants]
    sets = {f"realbench ({', '.join(raw['real'])})": raw["real"],
            f"demo ({', '.join(raw['demo'])})": raw["demo"]}  # fmt: skip
    lines: list[str] = []
    for title, categories in sets.items():
        lines += [*_table(title, seven, main, categories, behind=False), ""]
    if scale := raw.get("scale"):
        lines += [*_table("160 drawn categories, 40 tested", scale, list(scale["rows"]), None), ""]
    lines += [*_cost(raw, [*main, *variants]), ""]
    if variants:
        lines += [*_table("all seven", seven, [main[0], "Pro-AD", *variants], None), ""]
    return lines[:-1]


def _table(
    title: str,
    part: Mapping[str, Any],
    names: Sequence[str],
    categories: Sequence[str] | None,
    *,
    behind: bool = True,
) -> list[str]:
    """All metrics, means over categories; a spread over seeds where there are several."""
    rows = []
    for name in names:
        runs = [means(run, categories) for run in part["rows"][name]["runs"]]
        cells = [with_spread([run[metric] for run in runs]) for metric in METRICS]
        gap = part["behind"].get(name)
        rows.append([name, *cells, *([interval(gap) if gap else ""] if behind else [])])
    return table([title, *METRICS.values(), *([_BEHIND] if behind else [])], rows)


def _cost(raw: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Medians over seeds and rounds; how often maps are refined, and how long that takes."""
    seven, scale = raw["seven"]["rows"], raw.get("scale", {"rows": {}})["rows"]
    cost = raw.get("cost", {"images_per_second": {}, "refined": {}, "memory_mib": {}})
    rates = {name: median(found) for name, found in cost["images_per_second"].items()}
    rows = []
    for name in names:
        took = seven[name]["records"]
        if not took:
            continue
        at_scale = scale.get(name, {}).get("records")
        refined = cost["refined"].get(name)
        share = seven[name].get("refined_share")
        rows.append([
            name,
            f"{median(each['train_seconds'] for each in took):.0f}",
            f"{at_scale[0]['train_seconds']:.0f}" if at_scale else "",
            f"{took[0]['model_mib']:.0f}",
            f"{rates[name]:.0f} ({rates[name] / rates[names[0]]:.2f})" if name in rates else "",
            f"{refined['flagged']:.1f} / {refined['unflagged']:.2f}" if refined else "",
            f"{_share(share, 1)} / {_share(share, 0)}" if share else "",
            f"{cost['memory_mib'][name]:.0f}" if cost["memory_mib"] else "",
        ])  # fmt: skip
    head = [
        "what it takes", "training on seven, s", "on 160, s", "detector, MiB",
        "images/s from cached features (of the first's)",
        "scorer's time for an image that is refined / is not, times its own without",
        "refined of the anomalous / normal images", "memory, MiB",
    ]  # fmt: skip
    return table(head, rows)


def _count(variant: str) -> tuple[int, str]:
    """By the number of prototypes, with the constraint first."""
    return int("".join(filter(str.isdigit, variant))), variant


def _share(shares: Sequence[Sequence[float]], label: int) -> str:
    return f"{mean(each[label] for each in shares):.0%}"
