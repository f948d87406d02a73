"""Scores days in a process of its own, so that its peak memory can be read.

    python -m bench.tiles_child PARAMS DAY...     # prints the peak in MiB after each day

Imports nothing beside what scoring needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.memory import peak_mib
from normscape.params import load_params
from normscape.scoring.run import score_place

if __name__ == "__main__":
    params = load_params(Path(sys.argv[1]))
    for day in sys.argv[2:]:
        score_place(Path(day), params, progress=False)
        print(peak_mib())
