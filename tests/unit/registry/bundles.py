"""Bundles whose parts are small: the registry looks at their hashes and little else."""

from pathlib import Path

from normscape.files import write_json
from normscape.registry.bundle import seal
from normscape.registry.gate import Check, GateDecision
from tests.unit.bundles import write_parts


def decision(*, passed: bool) -> GateDecision:
    value = 0.9 if passed else 0.5
    name, metric = "min_mean_image_auroc", "mean image AUROC"
    return GateDecision(passed, (Check(name, metric, None, value, 0.7, True, passed),))


def write_small_bundle(
    folder: Path, *, passed: bool = True, dirty: bool = False, size: int = 2000
) -> Path:
    """Write a sealed bundle with `size` random bytes for a model."""
    folder.mkdir(parents=True)
    write_parts(folder, ("bolt", "nut"), size)
    write_json(folder / "gate.json", decision(passed=passed).as_dict())
    write_json(folder / "images.json", {"train": ["a" * 64], "calibration": ["b" * 64]})
    code = {"commit": "c" * 40, "dirty": dirty, "changed": ["src/x.py"] if dirty else []}
    provenance = {"data_version": "d.dir", "code": code, "packages": {"python": "3.11"}}
    write_json(folder / "provenance.json", provenance)
    for name in ("params.yaml", "dvc.lock", "model_card.md"):
        (folder / name).write_text("gate: {}\n")
    seal(folder)
    return folder
