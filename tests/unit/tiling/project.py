"""A checkout with a small model in production that was trained on tiles of a woven fabric."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from bench.fabric import fabric, spoil, write
from normscape.files import read_json
from normscape.params import Params, load_params
from normscape.registry.code import read_code_state
from normscape.registry.contract import PRODUCTION
from normscape.registry.gate import decide
from normscape.registry.store import open_registry
from normscape.registry.writer import write_bundle
from normscape.stages.runner import STAGES, run_stage

SIDE = 2048
DEFECT = 32
PARAMS = {
    "manifest": {"calibration_percent": 50, "calibration_min_images": 4, "group_pattern": None},
    "validate": {"min_train": 2, "min_calibration": 2},
    "backbone": {
        "name": "tf_efficientnet_lite0", "input_size": 64, "levels": [1, 2], "runtime": "torch",
        "precision": "fp32",
    },
    "tiling": {"tile": 512, "overlap": 0.25, "train_tiles": 24},
    "features": {"grid": 16, "dimensions": 32, "fit_tokens": 20000},
    "prototypes": {"local_per_category": 256, "local_steps": 2, "global_steps": 2},
    "novelty": {"steps": 20, "width": 32, "blocks": 1},
    "detector": {"width": 32, "blocks": 1, "heads": 2},
    "maps": {"size": 64, "smoothing": 1.0},
    "calibrate": {"target_fpr": 0.1},
    "evaluate": {"gallery_images": 2},
    "score": {"batch_size": 8, "random_sample": 0.0},
}  # fmt: skip


def make_project(root: Path, side: int = SIDE, images: int = 16) -> Params:
    """Train, and put the model into production whatever the gate says."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    folder = root / "data" / "fabric"
    for number in range(images):
        write(folder / "train/good" / f"{number:03d}.png", fabric(number, side))
    for number, (x, y) in enumerate(((side // 3, side // 2), (side - 99, 99))):
        name, normal = f"{number:03d}.png", fabric(1000 + number, side)
        write(folder / "test/good" / name, fabric(2000 + number, side))
        spoiled = spoil(normal, x, y, DEFECT)
        write(folder / "test/hole" / name, spoiled)
        mask = np.asarray((spoiled != normal).any(axis=2) * 255, dtype=np.uint8)
        write(folder / "ground_truth/hole" / f"{number:03d}_mask.png", mask)
    params = load_params(root / "params.yaml")
    run_stages(params, [stage for stage in STAGES if stage != "validate"])
    metrics = read_json(params.artifacts / "evaluation" / "metrics.json")
    write_bundle(root / "bundle", params, read_code_state(root), decide(metrics, None, params.gate))
    registry = open_registry(params)
    version = registry.register(root / "bundle", reason="first")
    registry.set_alias(PRODUCTION, version, expected=None, reason="first")
    return params


def run_stages(params: Params, names: Sequence[str]) -> None:
    for stage in names:
        torch.set_num_threads(1)  # the stages that learn take all cores
        run_stage(stage, params)
    torch.set_num_threads(1)
