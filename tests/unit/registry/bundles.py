"""Bundles whose parts are small: the registry looks at their hashes and little else."""

import os
from pathlib import Path

from normscape.files import write_json
from normscape.registry.bundle import seal
from normscape.registry.gate import Check, GateDecision


def decision(*, passed: bool) -> GateDecision:
    value = 0.9 if passed else 0.5
    name, metric = "min_mean_image_auroc", "mean image AUROC"
    return GateDecision(passed, (Check(name, metric, None, value, 0.7, True, passed),))


def write_small_bundle(
    folder: Path, *, passed: bool = True, dirty: bool = False, size: int = 2000
) -> Path:
    """Write a sealed bundle with `size` random bytes for a model."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(os.urandom(size))
    (folder / "reference.parquet").write_bytes(os.urandom(100))
    for name in ("calibration.json", "metrics.json"):
        write_json(folder / name, {"made": folder.name})
    write_json(folder / "model.json", {"categories": ["bolt", "nut"]})
    write_json(folder / "backbone.json", {"name": "lite2"})
    write_json(folder / "gate.json", decision(passed=passed).as_dict())
    write_json(folder / "images.json", {"train": ["a" * 64], "calibration": ["b" * 64]})
    code = {"commit": "c" * 40, "dirty": dirty, "changed": ["src/x.py"] if dirty else []}
    provenance = {"data_version": "d.dir", "code": code, "packages": {"python": "3.11"}}
    write_json(folder / "provenance.json", provenance)
    for name in ("params.yaml", "dvc.lock", "model_card.md"):
        (folder / name).write_text("gate: {}\n")
    seal(folder)
    return folder
