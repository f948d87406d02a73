"""The scorer as production runs it, for measuring its speed and memory.

    python -m bench.scorer MODEL PIXELS.npy     # prints the GiB that a process needs

Imports nothing beside what scoring needs: this process is the one whose memory is measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.record import ROOT
from normscape.backbones import Backbone, load_backbone
from normscape.backbones.runtime import available_cores
from normscape.calibration.calibrator import fit_calibration
from normscape.novelty.inspector import Inspector
from normscape.params import load_params
from normscape.scoring.scorer import Scorer

BATCH = 16
_CACHE = ROOT / ".normscape" / "bench" / "cache"

Pixels = NDArray[np.uint8]


def prepared(folder: Path) -> tuple[Scorer, Backbone]:
    """A trained model as production scores with it, and its backbone.

    The thresholds are made up: they cost the same whatever they are.
    """
    torch.set_num_threads(available_cores())
    params = load_params(ROOT / "params.yaml")
    backbone = load_backbone(params.backbone, root=ROOT, cache=_CACHE)
    model = Inspector.open(folder, folder)
    names = np.repeat(model.categories, params.manifest.calibration_min_images).tolist()
    drawn = np.random.default_rng(0).normal(size=(2, len(names)))
    calibration = fit_calibration(
        drawn[0], names, np.abs(drawn[1]), params.calibrate, backbone.identity
    )
    return Scorer(backbone, model, calibration), backbone


def score(scorer: Scorer, part: Tensor) -> None:
    """Score a batch of undeclared category, and forget the result."""
    scorer.score_batch(part, [None] * len(part))


def batch(pixels: Pixels) -> Tensor:
    """`(B, 3, S, S)` float32 in [0, 1] from `(B, S, S, 3)` bytes."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div_(255.0)


def memory(model: Path, path: Path) -> dict[str, float]:
    """Score the images of a file; GiB resident now, and at most."""
    pixels = np.load(path, mmap_mode="r")
    scorer, _ = prepared(model)
    for first in range(0, len(pixels), BATCH):
        score(scorer, batch(np.array(pixels[first : first + BATCH])))
    # Not getrusage: its peak begins with that of the process that started this one.
    return {"now": _status("VmRSS"), "peak": _status("VmHWM")}


def _status(name: str) -> float:
    """GiB of a line of this process's status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    value = next(line for line in lines if line.startswith(f"{name}:")).split()[1]
    return round(int(value) / 2**20, 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.scorer")
    parser.add_argument("model", type=Path)
    parser.add_argument("pixels", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(memory(arguments.model, arguments.pixels)))
