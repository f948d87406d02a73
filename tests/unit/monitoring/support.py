"""A project with a registered production model (its parts small but valid) and a scored feed."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from normscape.calibration.calibrator import fit_calibration
from normscape.files import sha256_file, write_json
from normscape.params import Params, load_params
from normscape.registry.bundle import seal
from normscape.registry.gate import GateDecision
from normscape.registry.local import LocalRegistry
from normscape.scoring import log
from normscape.scoring.paths import score_log
from normscape.sections.model import CalibrateParams
from tests.unit.bundles import write_parts

CATEGORIES = {"bolt": 150, "cap": 90, "nut": 200, "pin": 60}


@dataclass(frozen=True)
class Runtime:
    runtime: str = "torch"
    precision: str = "fp32"


def reference(rng: np.random.Generator, images: int = 40) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "path": [f"{name}/train/good/{number:03d}.png" for number in range(images)],
                "sha256": [f"{name}{number}" for number in range(images)],
                "category": name,
                "score": rng.gamma(9.0, 0.1, size=images) + index,
                "predicted_category": name,
                "category_distance": rng.gamma(9.0, size=images),
                "category_p_value": 0.5,
                "mean_intensity": rng.normal(grey / 255, 0.01, size=images),
                "std_intensity": rng.normal(0.05, 0.003, size=images),
                "sharpness": np.exp(rng.normal(-5, 0.2, size=images)),
            }
        )
        for index, (name, grey) in enumerate(CATEGORIES.items())
    ]
    return pd.concat(parts, ignore_index=True)


def make_bundle(folder: Path, frame: pd.DataFrame) -> Path:
    folder.mkdir(parents=True)
    write_parts(folder, tuple(sorted(frame["category"].unique())), 100)
    fit_calibration(
        frame["score"], frame["category"].tolist(), frame["category_distance"],
        CalibrateParams(), Runtime(),
    ).save(folder / "calibration.json")  # fmt: skip
    frame.to_parquet(folder / "reference.parquet", index=False)
    write_json(folder / "gate.json", GateDecision(True, ()).as_dict())
    write_json(folder / "images.json", {"train": [], "calibration": []})
    code = {"commit": "c" * 40, "dirty": False, "changed": []}
    provenance = {"data_version": "d.dir", "code": code, "packages": {}}
    write_json(folder / "provenance.json", provenance)
    for name in ("params.yaml", "dvc.lock", "model_card.md"):
        (folder / name).write_text("gate: {}\n")
    seal(folder)
    return folder


class Line:
    """A project and its production line: `day` writes images and their rows of the score log."""

    def __init__(self, root: Path) -> None:
        (root / "params.yaml").write_text("{}\n")
        self.params: Params = load_params(root / "params.yaml")
        self._rng = np.random.default_rng(5)
        self.reference = reference(self._rng)
        self._registry = LocalRegistry(self.params.state / "registry")
        self.version = self._registry.register(
            make_bundle(root / "bundle", self.reference), reason="a test"
        )
        self._registry.set_alias("production", self.version, expected=None, reason="a test")

    def promote(self, *, higher: float = 0.0) -> str:
        """Another version in production, whose normal scores are so much higher."""
        self.reference["score"] += higher
        folder = make_bundle(self.params.root / "next", self.reference)
        before = self._registry.alias_state("production")
        self.version = self._registry.register(folder, reason="a test")
        self._registry.set_alias("production", self.version, expected=before, reason="a test")
        return self.version

    def day(
        self,
        day: str,
        category: str,
        images: int,
        *,
        declared: bool = True,
        shift: float = 0.0,
        darker: float = 0.0,
        p_value: float = 0.5,
        **columns: Any,
    ) -> None:
        """Images of a category (a new one looks like `cap`), in units of the reference."""
        known = category if category in CATEGORIES else "cap"
        base = self.reference[self.reference["category"] == known]
        rows = []
        for number in range(images):
            grey = CATEGORIES.get(category, 30) - 255 * darker * 0.01
            path = self.params.root / "feed" / day / category / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = self._rng.normal(grey, 13, size=(48, 48)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).convert("RGB").save(path)
            score = float(self._rng.choice(base["score"]) + shift * base["score"].std())
            rows.append(
                dict.fromkeys(log.SCHEMA.names)
                | {
                    "path": path.relative_to(self.params.root).as_posix(),
                    "sha256": sha256_file(path),
                    "day": day,
                    "declared_category": category if declared else None,
                    "predicted_category": known,
                    "category_distance": 1.0,
                    "category_p_value": p_value,
                    "score": score,
                    "p_value_predicted": 0.5,
                    "threshold": float(base["score"].quantile(0.95)),
                    "flagged": score > float(base["score"].quantile(0.95)),
                    "model_version": self.version,
                    "runtime": "torch",
                    "precision": "fp32",
                    "mean_intensity": grey / 255 + 0.01 * self._rng.normal(),
                    "std_intensity": 0.05,
                    "sharpness": float(np.exp(self._rng.normal(-5, 0.2))),
                    "scored_at": datetime.datetime.now(datetime.UTC),
                }
                | columns
            )
        log.append(score_log(self.params), pd.DataFrame(rows))
