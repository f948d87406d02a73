"""Throughput and memory of the scorer with a model of 160 categories, beside PatchCore.

    make bench-speed        # writes bench/results/speed.json; needs make bench-peers-env

Decoded images in, predictions out, 16 at once. All scorers take turns in one run: the project's
whole scorer, its backbone alone, and anomalib's PatchCore with 2,000 tokens in its memory, as
shipped and with the project's converted network. Memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import datasets
from bench.ours import bench_params, trained
from bench.peers.job import decoded
from bench.peers.speed import Round, alternate, patchcore_rounds
from bench.record import ROOT, Claim, write_result
from normscape.backbones import Backbone, load_backbone
from normscape.backbones.runtime import available_cores
from normscape.calibration.calibrator import fit_calibration
from normscape.detectors.model import InspectionModel
from normscape.scoring.scorer import Scorer

DATA_SEED = 0
IMAGES, MEMORY_IMAGES = 256, 64
BATCH = 16
ROUNDS = 7

Pixels = NDArray[np.uint8]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.speed")
    parser.add_argument("--memory", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(*arguments.memory)))
        return
    rows = datasets.scale_set(datasets.SCALE_CATEGORIES, DATA_SEED)
    model = trained(rows, bench_params(), name="speed") / "model"
    test = datasets.test_rows(rows)
    test = test.iloc[:: len(test) // IMAGES].head(IMAGES)
    size = bench_params().backbone.input_size
    pixels = np.array(np.load(decoded(list(test["path"]), list(test["sha256"]), size)))
    scorer, backbone = prepared(model)
    rounds = {
        "scorer": round_of(pixels, lambda part: scorer.score_batch(part, [None] * len(part))),
        "backbone": round_of(pixels, backbone),
    }
    with patchcore_rounds(pixels, available_cores()) as theirs:
        rounds |= {f"patchcore_{name}": once for name, once in theirs.items()}
        rates = alternate(rounds, ROUNDS)
    raw = {
        "images_per_second": {
            name: [round(rate, 1) for rate in found] for name, found in rates.items()
        },
        "backbone": {"runtime": scorer.identity.runtime, "precision": scorer.identity.precision},
        "memory_gib": measured_memory(model, pixels[:MEMORY_IMAGES]),
    }
    print(write_result("speed", raw, claims(raw)))


def prepared(folder: Path) -> tuple[Scorer, Backbone]:
    """A trained model as production scores with it, and its backbone.

    The thresholds are made up: they cost the same whatever they are.
    """
    torch.set_num_threads(available_cores())
    params = bench_params()
    backbone = load_backbone(params.backbone, root=ROOT, cache=params.state / "cache")
    model = InspectionModel.load(folder)
    names = np.repeat(model.categories, params.manifest.calibration_min_images).tolist()
    drawn = np.random.default_rng(0).normal(size=(2, len(names)))
    calibration = fit_calibration(
        drawn[0], names, np.abs(drawn[1]), params.calibrate, backbone.identity
    )
    return Scorer(backbone, model, calibration), backbone


def round_of(pixels: Pixels, score: Callable[[Tensor], object]) -> Round:
    """A round of a scorer in this process, warmed up."""

    def once() -> float:
        start = time.perf_counter()
        for first in range(0, len(pixels), BATCH):
            score(batch(pixels[first : first + BATCH]))
        return len(pixels) / (time.perf_counter() - start)

    score(batch(pixels[:BATCH]))
    return once


def batch(pixels: Pixels) -> Tensor:
    """`(B, 3, S, S)` float32 in [0, 1] from `(B, S, S, 3)` bytes."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div_(255.0)


def measured_memory(model: Path, pixels: Pixels) -> dict[str, float]:
    """Resident memory of another process that loaded the model and scored the images."""
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as folder:
        path = Path(folder) / "pixels.npy"
        np.save(path, pixels)
        command = [sys.executable, "-m", "bench.speed", "--memory", str(model), str(path)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def memory(model: Path, path: Path) -> dict[str, float]:
    """Score the images of a file; GiB resident now, and at most."""
    pixels = np.load(path, mmap_mode="r")
    scorer, _ = prepared(model)
    for first in range(0, len(pixels), BATCH):
        part = batch(np.array(pixels[first : first + BATCH]))
        scorer.score_batch(part, [None] * len(part))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "now": round(pages * resource.getpagesize() / 2**30, 3),
        "peak": round(peak / 2**20, 3),
    }


def claims(raw: dict[str, Any]) -> list[Claim]:
    """What the measurement says; ratios are medians over rounds that took turns."""
    rates = {name: np.array(found) for name, found in raw["images_per_second"].items()}

    def ratio(other: str) -> float:
        return round(float(np.median(rates["scorer"] / rates[other])), 2)

    backbone = raw["backbone"]
    return [
        Claim(
            "speed.backbone", ratio("backbone"), 0.5, "ratio", "at least",
            "images a second of the whole scorer over those of its backbone alone, "
            f"{backbone['runtime']} in {backbone['precision']}",
        ),
        Claim(
            "speed.patchcore", ratio("patchcore_torch"), 5.0, "ratio", "at least",
            "over those of anomalib's PatchCore with 2,000 tokens in its memory, as shipped",
        ),
        Claim(
            "speed.memory", raw["memory_gib"]["peak"], 1.0, "GiB", "at most",
            f"peak resident memory of a process that scored {MEMORY_IMAGES} images with a model of "
            f"{datasets.SCALE_CATEGORIES} categories",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
