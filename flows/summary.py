"""The training as a page of Prefect's UI: figures, the gate's checks, where the report is."""

from __future__ import annotations

from typing import Any

from normscape.params import Params
from normscape.registry.publish import PublishResult

_METRICS = ("image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "aupro")


def training_summary(result: PublishResult, metrics: dict[str, Any], params: Params) -> str:
    """Markdown: the metrics per category and the gate's sentences."""
    outcome = "in production" if result.promoted else "not in production"
    rows = [("mean", metrics["mean"]), ("worst", metrics["worst"]), *metrics["categories"].items()]
    lines = [
        f"# {result.version}: {outcome}",
        "",
        f"Before it: {result.champion or 'no model'}. Report: "
        f"{params.paths.artifacts / 'evaluation' / 'report.html'}",
        "",
        "| |" + "|".join(name.replace("_", " ") for name in _METRICS) + "|",
        "|---|" + "---:|" * len(_METRICS),
    ]
    for name, values in rows:
        cells = (f"{values[key]:.3f}" if key in values else "-" for key in _METRICS)
        lines.append(f"|{name}|" + "|".join(cells) + "|")
    lines += ["", "## Gate", "", *(f"- {sentence}" for sentence in result.decision.explain())]
    if result.refusal is not None:
        lines += ["", f"**{result.refusal}**"]
    return "\n".join(lines)
