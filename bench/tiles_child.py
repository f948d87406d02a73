"""Scores days in a process of its own, so that its peak memory can be read.

    python -m bench.tiles_child PARAMS DAY...     # prints the peak in MiB after each day

Imports nothing beside what scoring needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from normscape.params import load_params
from normscape.scoring.run import score_place


def peak_mib() -> float:
    """The most that this process had resident, in MiB."""
    # Not getrusage: its peak begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 2**10


if __name__ == "__main__":
    params = load_params(Path(sys.argv[1]))
    for day in sys.argv[2:]:
        score_place(Path(day), params, progress=False)
        print(peak_mib())
