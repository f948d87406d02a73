"""The parts of a bundle: valid, small, and random where nobody looks."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from normscape.files import write_json

BACKBONE = {
    "name": "tf_efficientnet_lite2",
    "weights": "package",
    "weights_sha256": "e" * 64,
    "input_size": 256,
    "levels": [2, 3],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "runtime": "torch",
    "precision": "fp32",
    "resize": "pillow-bicubic",
}


def write_model(folder: Path, categories: Sequence[str], size: int = 2000) -> None:
    """A model of `size` random bytes that knows the categories and cannot score."""
    save_file({"tensor": np.frombuffer(os.urandom(size), np.uint8)}, folder / "model.safetensors")
    write_json(folder / "model.json", {"format": 2, "categories": list(categories)})


def write_novelty(folder: Path) -> None:
    """A novelty model of random bytes that cannot score."""
    save_file({"tensor": np.frombuffer(os.urandom(500), np.uint8)}, folder / "novelty.safetensors")
    write_json(folder / "novelty.json", {"format": 1})


def write_parts(folder: Path, categories: Sequence[str], size: int = 2000) -> None:
    """Everything that the registry looks into, but not through."""
    write_model(folder, categories, size)
    write_json(folder / "backbone.json", BACKBONE)
    calibrated = {
        "images": 8, "groups": 8, "location": 1.0, "scale": 0.1, "threshold": 1.2, "target": 0.2,
        "attainable_alone": 0.1, "attainable_pooled": 0.1, "residuals": [0.5], "weights": [1.0],
    }  # fmt: skip
    calibration = {
        "target_fpr": 0.2, "pool_strength": 10.0, "runtime": "torch", "precision": "fp32",
        "categories": dict.fromkeys(categories, calibrated), "distances": [1.0], "warnings": [],
    }  # fmt: skip
    write_json(folder / "calibration.json", calibration)
    figures = {"image_auroc": 0.9}
    tested = figures | {"images": {"normal": 5, "anomalous": 5}}
    metrics = dict.fromkeys(("mean", "worst", "pooled"), figures)
    write_json(folder / "metrics.json", metrics | {"categories": dict.fromkeys(categories, tested)})
    reference = pd.DataFrame({"category": list(categories), "score": 1.0})
    reference.to_parquet(folder / "reference.parquet", index=False)
