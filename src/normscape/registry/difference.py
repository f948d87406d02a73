"""What differs between two versions: parameters, data, categories, figures, thresholds, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from normscape.evaluation.metrics import METRICS
from normscape.registry.bundle import Bundle

Pair = dict[str, Any]
"""`{"a": value, "b": value}`, with `difference` (b minus a) where both are numbers."""


def compare_bundles(a: Bundle, b: Bundle) -> dict[str, Any]:
    """Compare two verified bundles.

    Returns:
        JSON values: `params` (dotted names whose values differ), `data` and `code`, `categories`
        (`added` and `removed` from a to b), `metrics` (`mean`, `worst` and each category: metric
        to pair), `thresholds` (of categories that have one in either), `files` (names whose bytes
        differ or that only one has). What is absent on one side is None there.
    """
    ours, theirs = set(a.categories), set(b.categories)
    params = [_flat(yaml.safe_load((one.folder / "params.yaml").read_bytes())) for one in (a, b)]
    return {
        "params": _differing(*params),
        "data": _pair(a.data_version, b.data_version),
        "code": _pair(a.provenance.code.describe(), b.provenance.code.describe()),
        "categories": {"added": sorted(theirs - ours), "removed": sorted(ours - theirs)},
        "metrics": _metrics(a, b),
        "thresholds": _both(
            *(
                {name: known.threshold for name, known in one.calibration.categories.items()}
                for one in (a, b)
            )
        ),
        "files": _differing(a.files, b.files),
    }


def _metrics(a: Bundle, b: Bundle) -> dict[str, dict[str, Pair]]:
    columns = [
        {"mean": one.metrics["mean"], "worst": one.metrics["worst"], **one.metrics["categories"]}
        for one in (a, b)
    ]
    result = {}
    for name in dict.fromkeys((*columns[0], *columns[1])):
        found = [{key: column.get(name, {}).get(key) for key in METRICS} for column in columns]
        result[name] = {
            key: pair for key, pair in _both(*found).items() if pair != {"a": None, "b": None}
        }
    return result


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value} if prefix else {}
    found: dict[str, Any] = {}
    for name, part in value.items():
        found |= _flat(part, f"{prefix}.{name}" if prefix else str(name))
    return found


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: pair for name, pair in _both(a, b).items() if pair["a"] != pair["b"]}


def _both(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: _pair(a.get(name), b.get(name)) for name in dict.fromkeys((*a, *b))}


def _pair(a: Any, b: Any) -> Pair:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (a, b))
    return {"a": a, "b": b} | ({"difference": b - a} if numbers else {})
