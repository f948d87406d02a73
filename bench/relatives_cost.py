"""What scoring costs: images a second from cached feature maps, in turns, and memory.

python -m bench.relatives_cost MODEL MAPS    # peak memory in MiB of a process that scores them
"""

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

from bench.memory import peak_mib
from bench.ours import bench_params
from bench.peers.speed import alternate
from normscape.backbones.runtime import available_cores
from normscape.detectors.model import InspectionModel
from normscape.features.extract import open_store

IMAGES = 64
ROUNDS = 7


def cost(models: Mapping[str, Path], test: pd.DataFrame) -> dict[str, Any]:
    """Rates and memory of trained models on the same images, spread over a test table.

    Args:
        models: Folders of models of one table.
        test: Its test rows; their features are in the store.
    """
    chosen = test.iloc[:: max(1, len(test) // IMAGES)].head(IMAGES)
    maps = open_store(bench_params())[0].read(list(chosen["sha256"]))
    torch.set_num_threads(available_cores())
    rounds = {name: _Round(InspectionModel.load(folder), maps) for name, folder in models.items()}
    rates = alternate(rounds, ROUNDS)
    return {
        "images_per_second": {name: [round(r, 1) for r in found] for name, found in rates.items()},
        "memory_mib": {name: _memory(folder, maps) for name, folder in models.items()},
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


def _memory(model: Path, maps: list[Tensor]) -> float:
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as folder:
        path = Path(folder) / "maps.pt"
        torch.save(maps, path)
        command = [sys.executable, "-m", "bench.relatives_cost", str(model), str(path)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return round(float(answer.stdout.split()[-1]), 1)


if __name__ == "__main__":
    InspectionModel.load(Path(sys.argv[1]))(torch.load(sys.argv[2], weights_only=True))
    print(peak_mib())
