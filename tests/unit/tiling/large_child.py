"""What a test runs in a process of its own, to measure its memory; it is run as a script."""

import sys
from pathlib import Path

import torch

from normscape.params import load_params
from normscape.scoring.run import score_folder


def peak_mib() -> float:
    # Not getrusage: its peak begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 2**10


def main() -> None:
    """Score a day of a small image, then one of a large one; print the peak after each."""
    torch.set_num_threads(1)
    params = load_params(Path(sys.argv[1]))
    for day in sys.argv[2:]:
        score_folder(Path(day), params, progress=False)
        print(peak_mib())  # noqa: T201


if __name__ == "__main__":
    main()
