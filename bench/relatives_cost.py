"""What scoring costs: images a second from cached feature maps, in turns, and memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from bench import refine
from bench.ours import bench_params
from bench.peers.speed import alternate
from bench.refine import Base
from normscape.backbones.runtime import available_cores
from normscape.detectors.model import InspectionModel
from normscape.features.extract import open_store
from normscape.refine.model import Refiner

IMAGES = 64
ROUNDS = 7


def cost(rows: Mapping[str, tuple[Base, Refiner | None]], test: pd.DataFrame) -> dict[str, Any]:
    """Rates and memory of trained models on the same images, spread over a test table.

    Args:
        rows: Detectors of one table, and refiners where a row has one.
        test: Its test rows; their features are in the store.

    Returns:
        `images_per_second` of the detectors, by row and round; `refined`, by row, what
        `bench.refine.cost` says; `memory_mib` of all rows; `threads`.
    """
    chosen = test.iloc[:: max(1, len(test) // IMAGES)].head(IMAGES)
    maps = open_store(bench_params())[0].read(list(chosen["sha256"]))
    torch.set_num_threads(available_cores())
    models = {name: base.model for name, (base, refiner) in rows.items() if refiner is None}
    rounds = {name: _Round(InspectionModel.load(folder), maps) for name, folder in models.items()}
    rates = alternate(rounds, ROUNDS)
    return {
        "images_per_second": {name: [round(r, 1) for r in found] for name, found in rates.items()},
        "refined": {
            name: refine.cost(base, refiner, bench_params())
            for name, (base, refiner) in rows.items()
            if refiner is not None
        },
        "memory_mib": {name: _memory(*each, maps) for name, each in rows.items()},
        "threads": torch.get_num_threads(),
    }


class _Round:
    def __init__(self, model: InspectionModel, maps: list[Tensor]) -> None:
        self._model, self._maps = model, maps
        model([level[:2] for level in maps])  # warm

    def __call__(self) -> float:
        start = time.perf_counter()
        self._model(self._maps)
        return len(self._maps[0]) / (time.perf_counter() - start)


def _memory(base: Base, refiner: Refiner | None, maps: list[Tensor]) -> float:
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as folder:
        path = Path(folder) / "maps.pt"
        torch.save(maps, path)
        command = [sys.executable, "-m", "bench.relatives_child", str(base.model), str(path)]
        if refiner is not None:
            refiner.save(Path(folder))
            command.append(folder)
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return round(float(answer.stdout.split()[-1]), 1)
