"""Make `tests/fixtures/first-bundle`: a small bundle, two images, and the scores they must have.

    python scripts/first_bundle.py

It stands for the models that are in use already: every later release has to load it and to score
the images the same (tests/model/test_first_bundle.py). So it is made once, by the first release,
and again only when the major number of the bundle's format changes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from normscape.data.images import read_image
from normscape.files import read_json, write_json
from normscape.params import load_params
from normscape.registry.bundle import Bundle
from normscape.registry.code import read_code_state
from normscape.registry.gate import decide
from normscape.registry.writer import write_bundle
from normscape.scoring.scorer import Scorer
from normscape.stages.runner import STAGES, run_stage

TARGET = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "first-bundle"
SIDE = 64
PARAMS = {
    "manifest": {"calibration_percent": 30, "calibration_min_images": 4, "group_pattern": None},
    "validate": {"min_train": 4, "min_calibration": 2},
    # Torch in full precision: every machine has it, and gives nearly the same figures.
    "backbone": {
        "name": "tf_efficientnet_lite0", "input_size": SIDE, "levels": [1, 2], "runtime": "torch",
        "precision": "fp32",
    },
    "features": {"grid": 8, "dimensions": 16, "fit_tokens": 2000},
    "prototypes": {"local_per_category": 16, "local_steps": 2, "global_steps": 2},
    "detector": {"steps": 5, "width": 32, "blocks": 1, "heads": 2, "batch_tokens": 256},
    "maps": {"size": SIDE, "smoothing": 1.0},
    "calibrate": {"target_fpr": 0.1},
    "evaluate": {"gallery_images": 0},
    "gate": {"max_false_positive_rate": 0.5},
}  # fmt: skip


def main() -> None:
    """Train on generated images, bundle the model, and record what it says of two images."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        root, made = Path(temporary) / "project", Path(temporary) / "made"
        root.mkdir()
        (root / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
        (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n", encoding="utf-8")
        for number, category in enumerate(("bolt", "nut")):
            fill(root / "data" / category, 1000 * number, columns=category == "bolt")
        params = load_params(root / "params.yaml")
        for stage in STAGES:
            run_stage(stage, params)
        metrics = read_json(params.artifacts / "evaluation" / "metrics.json")
        decision = decide(metrics, None, params.gate)
        write_bundle(made / "bundle", params, read_code_state(root), decision)
        picture(made / "good.png", 9001, columns=True)
        picture(made / "defect.png", 9002, columns=True, defect=True)
        write_json(made / "expected.json", expected(made))
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(made, TARGET)
    size = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    sys.stdout.write(f"{TARGET}: {size / 1000:.0f} kB\n")


def expected(made: Path) -> dict[str, dict[str, float | str | bool]]:
    """What the bundle says of the two images."""
    scorer = Scorer.open(Bundle.load(made / "bundle"))
    found = {}
    for name in ("good.png", "defect.png"):
        result = scorer.score([read_image(made / name)], ["bolt"])[0]
        found[name] = {
            "score": result.score,
            "map_mean": float(result.map.mean()),
            "p_value": result.p_value,
            "threshold": result.threshold,
            "flagged": result.flagged,
            "predicted": result.predicted,
            "category_distance": result.category_distance,
        }
    return found


def fill(folder: Path, seed: int, *, columns: bool) -> None:
    """The images of one category, in the MVTec layout without masks."""
    for number in range(24):
        picture(folder / "train/good" / f"{number:03d}.png", seed + number, columns=columns)
    for number in range(6):
        name, at = f"{number:03d}.png", seed + 100 + number
        picture(folder / "test/good" / name, at, columns=columns)
        picture(folder / "test/hole" / name, at + 50, columns=columns, defect=True)


def picture(path: Path, seed: int, *, columns: bool, defect: bool = False) -> None:
    """Write an image of waves along one axis, with noise, and with a white square as the defect."""
    wave = 60 * np.sin(np.arange(SIDE) * 0.8)
    pattern = wave[None, :, None] if columns else wave[:, None, None]
    grey = 128 + pattern + np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE, 3))
    if defect:
        grey[20:36, 24:40] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)


if __name__ == "__main__":
    main()
