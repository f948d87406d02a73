"""Writes `bench/README.md` from `bench/results/*.json`: `make bench-tables`."""

from __future__ import annotations

import json
from typing import Any

from bench.record import RESULTS, ROOT
from bench.render import RENDERERS
from normscape.files import atomic_path

_METRICS = {
    "image_auroc": "I-AUROC", "image_ap": "I-AP", "image_f1max": "I-F1max",
    "pixel_auroc": "P-AUROC", "pixel_ap": "P-AP", "pixel_f1max": "P-F1max", "aupro": "AUPRO",
}  # fmt: skip

_HEAD = """# Measurements

Written by `make bench-tables` from `bench/results/*.json`; do not edit. Each file holds the commit,
the hardware, the versions and the raw figures of a run of `make bench-NAME`.
"""


def main() -> None:
    """Write the page."""
    parts = [_HEAD]
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        parts.append(_section(path.stem, content))
    with atomic_path(ROOT / "bench" / "README.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _section(name: str, content: dict[str, Any]) -> str:
    hardware, commit = content["hardware"], content["commit"]
    lines = [
        f"## {name}",
        "",
        f"`make bench-{name}`, commit {commit['id'][:10]}"
        f"{' with uncommitted changes' if commit['dirty'] else ''}, {hardware['cpu']}, "
        f"{hardware['cores']} cores, {hardware['gpu'] or 'no GPU'}, load average "
        f"{hardware['load_average']}.",
        "",
    ]
    if content["claims"]:
        lines += ["| claim | value | target | holds | how |", "|---|---:|---:|---|---|"]
    lines += [
        f"| {claim['id']} | {claim['value']:g} {claim['unit']} | {claim['bound']} "
        f"{claim['target']:g} | {'yes' if claim['holds'] else '**no**'} | {claim['how']} |"
        for claim in content["claims"]
    ]
    if name in RENDERERS:
        lines += ["", *RENDERERS[name](content["raw"])]
    for title, figures in content["raw"].items():
        if isinstance(figures, dict) and isinstance(figures.get("categories"), dict):
            lines += ["", *_metrics_table(title, figures)]
    return "\n".join([*lines, ""])


def _metrics_table(title: str, figures: dict[str, Any]) -> list[str]:
    rows = {**figures["categories"], "**mean**": figures["mean"], "**pooled**": figures["pooled"]}
    return [
        f"| {title} | " + " | ".join(_METRICS.values()) + " | false positives |",
        "|---|" + "---:|" * (len(_METRICS) + 1),
        *(
            f"| {name} | "
            + " | ".join(f"{row[key]:.3f}" if key in row else "-" for key in _METRICS)
            + f" | {_false_positives(row)} |"
            for name, row in rows.items()
        ),
    ]


def _false_positives(row: dict[str, Any]) -> str:
    rate = row.get("false_positive_rate", {}).get("declared")
    return f"{rate['flagged']} of {rate['images']}" if rate else ""


if __name__ == "__main__":
    main()
