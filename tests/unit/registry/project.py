"""A checkout whose stages have run: real tables, thresholds and Git; random bytes for weights."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from normscape.backbones import BackboneIdentity
from normscape.calibration.calibrator import fit_calibration
from normscape.data.manifest import write_manifest
from normscape.files import write_json
from normscape.params import Params, load_params
from normscape.sections.model import CalibrateParams
from tests.unit.bundles import write_model, write_novelty

CATEGORIES = ("bolt", "nut")
IDENTITY = BackboneIdentity(
    name="tf_efficientnet_lite2",
    weights="package",
    weights_sha256="e" * 64,
    input_size=256,
    levels=(2, 3),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    runtime="torch",
    precision="fp32",
)
SPLITS = ("train",) * 10 + ("calibration",) * 8 + ("test",) * 10
PARAMS = """\
evaluate:
  credits: {bolt: 'a licence', grass: 'of no concern'}
gate:
  min_mean_image_auroc: 0.7
"""


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True
    )


def manifest() -> pd.DataFrame:
    rows = []
    for category in CATEGORIES:
        for number, split in enumerate(SPLITS):
            label = int(split == "test" and number % 2)
            path = f"{category}/{split}/{number:03d}.png"
            rows.append(
                {
                    "path": path,
                    "category": category,
                    "group": path,
                    "split": split,
                    "label": label,
                    "defect_type": "dent" if label else "good",
                    "sha256": f"{category}{number}".encode().hex().ljust(64, "0"),
                    "width": 64,
                    "height": 64,
                    "channels": 3,
                    "file_size": 99,
                    "mean_intensity": 0.5,
                    "std_intensity": 0.1,
                    "sharpness": 0.01,
                }
            )
    columns = ("mask", "error", "mask_width", "mask_height", "mask_pixels", "mask_error")
    return pd.DataFrame(rows).assign(**dict.fromkeys(columns))


def metrics(auroc: float = 0.9) -> dict[str, Any]:
    rate = {"flagged": 1, "images": 5, "rate": 0.2, "low": 0.005, "high": 0.72}
    one = {
        "image_auroc": auroc,
        "images": {"normal": 5, "anomalous": 5},
        "false_positive_rate": {"declared": rate, "predicted": rate},
    }
    mean = {"image_auroc": auroc}
    categories = dict.fromkeys(CATEGORIES, one)
    return {"mean": mean, "worst": mean, "pooled": mean, "categories": categories}


def make_project(root: Path, *, auroc: float = 0.9) -> Params:
    """Lay the project down in `root`, committed; returns its parameters."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS)
    (root / "data.dvc").write_text("outs:\n- md5: 0123abcd.dir\n  path: data\n")
    (root / ".gitignore").write_text("/artifacts\n/.normscape\n")
    recorded = {"params.yaml": {"gate": yaml.safe_load(PARAMS)["gate"]}}
    lock = {"schema": "2.0", "stages": {"detector": {"cmd": "x", "params": recorded}}}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    params = load_params(root / "params.yaml")
    write_manifest(params.artifacts / "manifest.parquet", manifest())
    for stage in ("detector", "novelty", "features", "calibration", "evaluation"):
        (params.artifacts / stage).mkdir()
    write_model(params.artifacts / "detector", CATEGORIES, 5000)
    write_novelty(params.artifacts / "novelty")
    write_json(params.artifacts / "features" / "backbone.json", IDENTITY.as_dict())
    calibration_folder = params.artifacts / "calibration"
    names = [name for name in CATEGORIES for _ in range(8)]
    scores = np.random.default_rng(0).gamma(9, 1, len(names))
    calibration = fit_calibration(scores, names, scores, CalibrateParams(target_fpr=0.2), IDENTITY)
    calibration.save(calibration_folder / "calibration.json")
    reference = pd.DataFrame({"category": names, "score": scores.astype(np.float32)})
    reference.to_parquet(calibration_folder / "reference.parquet", index=False)
    write_json(params.artifacts / "evaluation" / "metrics.json", metrics(auroc))
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    return params
