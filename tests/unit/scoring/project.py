"""A checkout with a real, small model in production, trained by the real stages."""

from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from normscape.files import read_json
from normscape.params import Params, load_params
from normscape.registry.code import read_code_state
from normscape.registry.contract import PRODUCTION
from normscape.registry.gate import decide
from normscape.registry.store import open_registry
from normscape.registry.writer import write_bundle
from normscape.stages.runner import STAGES, run_stage

DAY = "2026-03-14"
PARAMS = {
    "manifest": {"calibration_percent": 30, "calibration_min_images": 4, "group_pattern": None},
    "validate": {"min_train": 4, "min_calibration": 2},
    "backbone": {
        "name": "tf_efficientnet_lite0", "input_size": 64, "levels": [1, 2], "runtime": "torch",
        "precision": "fp32",
    },
    "features": {"grid": 8, "dimensions": 16, "fit_tokens": 2000},
    "prototypes": {"local_per_category": 16, "local_steps": 2, "global_steps": 2},
    "novelty": {"steps": 20, "width": 32, "blocks": 1},
    "detector": {"steps": 5, "width": 32, "blocks": 1, "heads": 2, "batch_tokens": 256},
    "maps": {"size": 64, "smoothing": 1.0},
    "calibrate": {"target_fpr": 0.1},
    "evaluate": {"gallery_images": 1},
    "score": {"batch_size": 4, "random_sample": 0.2, "category_alpha": 0.05},
    "gate": {"max_false_positive_rate": 0.5},
}  # fmt: skip


def picture(path: Path, seed: int, category: str, *, defect: bool = False) -> Path:
    """Columns for bolts, rows for nuts, coarse blobs for anything else."""
    generator = np.random.default_rng(seed)
    wave = 60 * np.sin(np.arange(64) * 0.8)
    if category == "bolt":
        pattern = np.tile(wave, (64, 1))
    elif category == "nut":
        pattern = np.tile(wave[:, None], (1, 64))
    else:
        pattern = np.kron(generator.normal(0, 60, (4, 4)), np.ones((16, 16)))
    grey = 128 + pattern[..., None] + generator.normal(0, 12, (64, 64, 3))
    if defect:
        grey[20:36, 24:40] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)
    return path


def fill_data(data: Path, category: str, seed: int) -> None:
    folder = data / category
    for number in range(24):
        picture(folder / "train/good" / f"{number:03d}.png", seed + number, category)
    for number in range(6):
        name, at = f"{number:03d}.png", seed + 100 + number
        picture(folder / "test/good" / name, at, category)
        picture(folder / "test/hole" / name, at + 50, category, defect=True)


def fill_day(root: Path, count: int = 6, day: str = DAY, seed: int = 5000) -> Path:
    """`count` good bolts and nuts, two defects, three undeclared, three of a new product."""
    folder = root / "feed" / day
    for number in range(count):
        for at, category in enumerate(("bolt", "nut")):
            picture(folder / category / f"{number:03d}.png", seed + 100 * at + number, category)
    for number in range(2):
        picture(folder / "bolt" / f"bad{number}.png", seed + 300 + number, "bolt", defect=True)
    for number in range(3):
        picture(folder / f"loose{number}.png", seed + 400 + number, "nut")
        picture(folder / "washer" / f"{number}.png", seed + 500 + number, "washer")
    return folder


def make_project(root: Path) -> Params:
    """Train, and put the model into production whatever the gate says."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    fill_data(root / "data", "bolt", 0)
    fill_data(root / "data", "nut", 1000)
    params = load_params(root / "params.yaml")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for stage in STAGES:
            run_stage(stage, params)
    finally:
        torch.set_num_threads(threads)
    metrics = read_json(params.artifacts / "evaluation" / "metrics.json")
    decision = decide(metrics, None, params.gate)
    write_bundle(root / "bundle", params, read_code_state(root), decision)
    registry = open_registry(params)
    version = registry.register(root / "bundle", reason="first")
    registry.set_alias(PRODUCTION, version, expected=None, reason="first")
    return params


def trained_once(base: Path) -> Path:
    """The checkout of `make_project`, made by whoever asks first; copy it to change it."""
    root = base / "scoring-project"
    if not (root / "bundle").exists():
        make_project(root)
    return root
