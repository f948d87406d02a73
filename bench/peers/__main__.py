"""Runs one peer on all categories together and prints its metrics as JSON.

    python -m bench.peers --data real --method patchcore --seed 0

A job that was done before is read from `.normscape/bench/peers`.
"""

from __future__ import annotations

import argparse
import json
import sys

from bench import datasets
from bench.peers.job import METHODS
from bench.peers.runner import run_peer
from bench.score import measure
from normscape.errors import NormscapeError

_DATA = {"real": datasets.real, "realbench": datasets.realbench, "solar": datasets.solar}


def main() -> int:
    """Run, measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description="Run one peer and print its metrics."
    )
    parser.add_argument("--data", choices=_DATA, default="real")
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    try:
        rows = _DATA[chosen.data]()
        result = run_peer(chosen.method, rows, chosen.seed, chosen.threads)
        metrics = measure(datasets.test_rows(rows), result.scores, result.maps)
    except NormscapeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"metrics": metrics, "record": result.record}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
