"""Peak memory in MiB of a process that scores images, and refines a map where there is a refiner.

python -m bench.relatives_child MODEL MAPS [REFINER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from bench.memory import peak_mib
from normscape.detectors.model import InspectionModel
from normscape.refine.model import Refiner


def main(model: Path, maps: Path, refiner: Path | None) -> None:
    """Score `maps`, refine the first, say what it took."""
    found = InspectionModel.load(model)(torch.load(maps, weights_only=True))
    if refiner is not None:
        own = Refiner.load(refiner)
        side = own.config.input_size
        own(torch.zeros(1, 3, side, side), found.map[:1], found.category[:1])
    print(peak_mib())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
