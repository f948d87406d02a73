"""Throughput of a model of 160 categories exported to OpenVINO, beside the scorer it came from.

    make bench-export       # writes bench/results/export.json

Decoded images in, predictions out, 16 at once; all take turns in one run. The model is the one of
`bench.speed`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bench.peers.speed import alternate
from bench.record import ROOT, Claim, write_result
from bench.scorer import BATCH, batch, prepared, score
from bench.speed import ROUNDS, model_and_pixels, round_of
from normscape.backbones.load import convert_network, load_network
from normscape.export.formats import openvino_ir
from normscape.export.formats.base import Answers, Parts, Runner
from normscape.export.graph import DetectorGraph
from normscape.scoring.scorer import Scorer

_CACHE = ROOT / ".normscape" / "bench" / "cache"


def main() -> None:
    """Measure and write the result."""
    model, pixels = model_and_pixels()
    scorer, backbone = prepared(model)
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as folder:
        run = exported(scorer, Path(folder))
        difference = largest_difference(scorer, run, batch(pixels[:BATCH]))
        rates = alternate(
            {
                "scorer": round_of(pixels, partial(score, scorer)),
                "exported": round_of(pixels, partial(judge, run)),
                "backbone": round_of(pixels, backbone),
            },
            ROUNDS,
        )
    raw = {
        "images_per_second": {
            name: [round(rate, 1) for rate in found] for name, found in rates.items()
        },
        "backbone": {"runtime": scorer.identity.runtime, "precision": scorer.identity.precision},
        "largest_score_difference": difference,
    }
    print(write_result("export", raw, claims(raw)))


def exported(scorer: Scorer, folder: Path) -> Runner:
    """The OpenVINO artefact of a scorer, loaded; it runs nothing else of the project."""
    identity = scorer.identity
    parts = Parts(
        identity,
        partial(load_network, identity, root=ROOT, cache=_CACHE),
        partial(convert_network, identity, root=ROOT, cache=_CACHE),
        DetectorGraph(scorer._model, scorer.calibration).eval(),
    )
    openvino_ir.write(folder, parts)
    return openvino_ir.open_models(folder, openvino_ir.precision(identity))


def judge(run: Callable[..., Answers], part: Tensor) -> Answers:
    """Judge a batch of undeclared category."""
    return run(part.numpy(), np.full(len(part), -1, dtype=np.int64))


def largest_difference(scorer: Scorer, run: Runner, part: Tensor) -> float:
    """Of raw scores, over a batch."""
    expected = np.array([item.score for item in scorer.score_batch(part, [None] * len(part))])
    return float(np.abs(judge(run, part)["score"] - expected).max())


def claims(raw: dict[str, Any]) -> list[Claim]:
    """What the measurement says; ratios are medians over rounds that took turns."""
    rates = {name: np.array(found) for name, found in raw["images_per_second"].items()}

    def ratio(other: str) -> float:
        return round(float(np.median(rates["exported"] / rates[other])), 2)

    return [
        Claim(
            "export.scorer", ratio("scorer"), 1.0, "ratio", "at least",
            "images a second of the OpenVINO export over those of the project's scorer, 160 "
            "categories",
        ),
        Claim(
            "export.backbone", ratio("backbone"), 0.5, "ratio", "at least",
            "over those of the backbone alone",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
