"""What the parts of the detector's map are worth, on the test images of a trained checkout.

    make bench-parts        # about 1 minute after `dvc repro`; writes bench/results/parts.json

The trained model in `artifacts/` scores the test images with its map made of the distance to the
prototypes alone, of the reconstruction error alone, and of both as `detector.prototype_share` says.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.record import ROOT, Claim, write_result
from normscape.calibration import Calibration
from normscape.data.manifest import read_manifest
from normscape.detectors.model import InspectionModel
from normscape.evaluation.evaluate import evaluate
from normscape.features.extract import ensure_features
from normscape.params import load_params


def main() -> None:
    """Measure and write the result."""
    params = load_params(ROOT / "params.yaml")
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    rows = manifest[manifest["split"] == "test"]
    files = zip(rows["sha256"], rows["path"], strict=True)
    store = ensure_features(params, [(sha256, params.data / path) for sha256, path in files])
    calibration = Calibration.load(params.artifacts / "calibration" / "calibration.json")
    model = InspectionModel.load(params.artifacts / "detector")
    trained = model.detector.config
    raw: dict[str, Any] = {}
    for name, share in (
        ("distance to the prototypes alone", 1.0),
        ("reconstruction error alone", 0.0),
        ("both", trained.prototype_share),
    ):
        model.detector.config = dataclasses.replace(trained, prototype_share=share)
        found = evaluate(model, calibration, store, rows, params.data, params).metrics
        for figures in found["categories"].values():
            figures.pop("false_positive_rate", None)  # the thresholds are those of both
        raw[name] = found
    alone, both = (raw[name]["mean"]["image_auroc"] for name in list(raw)[::2])
    claim = Claim(
        "parts.reconstruction", round(both - alone, 4), 0.0, "mean image AUROC", "at least",
        "map of both parts against the distance alone, one seed",
    )  # fmt: skip
    print(write_result("parts", raw, [claim]))


if __name__ == "__main__":
    main()
