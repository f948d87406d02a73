"""Throughput and memory of the scorer with a model of 160 categories, beside PatchCore.

    make bench-speed        # writes bench/results/speed.json; needs make bench-peers-env

Decoded images in, predictions out, 16 at once. All scorers take turns in one run: the project's
whole scorer, its backbone alone, and anomalib's PatchCore with 2,000 tokens in its memory, as
shipped and with the project's converted network. Memory is that of a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bench import datasets
from bench.ours import bench_params, trained
from bench.peers.job import decoded
from bench.peers.speed import Round, alternate, patchcore_rounds
from bench.record import Claim, write_result
from bench.scorer import BATCH, Pixels, batch, prepared, score
from normscape.backbones.runtime import available_cores

DATA_SEED = 1
IMAGES, MEMORY_IMAGES = 256, 64
ROUNDS = 7


def main() -> None:
    """Measure and write the result."""
    model, pixels = model_and_pixels()
    scorer, backbone = prepared(model)
    rounds = {
        "scorer": round_of(pixels, partial(score, scorer)),
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


def model_and_pixels() -> tuple[Path, Pixels]:
    """The folder of a model of 160 categories, and decoded test images spread over all tested."""
    rows = datasets.scale_set(datasets.SCALE_CATEGORIES, DATA_SEED)
    model = trained(rows, bench_params(), name="speed") / "model"
    test = datasets.test_rows(rows)
    test = test.iloc[:: len(test) // IMAGES].head(IMAGES)
    size = bench_params().backbone.input_size
    return model, np.array(np.load(decoded(list(test["path"]), list(test["sha256"]), size)))


def round_of(pixels: Pixels, use: Callable[[Tensor], object]) -> Round:
    """A round of a scorer in this process, warmed up."""

    def once() -> float:
        start = time.perf_counter()
        for first in range(0, len(pixels), BATCH):
            use(batch(pixels[first : first + BATCH]))
        return len(pixels) / (time.perf_counter() - start)

    use(batch(pixels[:BATCH]))
    return once


def measured_memory(model: Path, pixels: Pixels) -> dict[str, float]:
    """Resident memory of another process that loaded the model and scored the images."""
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as folder:
        path = Path(folder) / "pixels.npy"
        np.save(path, pixels)
        command = [sys.executable, "-m", "bench.scorer", str(model), str(path)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


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
