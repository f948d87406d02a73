"""The pipeline on two data sets: does it reproduce itself, and does it run on other data unchanged?

    make bench-pipeline     # about 15 minutes on 2 cores; writes bench/results/pipeline.json

Works in clones of the last commit below a temporary folder. The demo is trained in two clones with
separate, empty caches, the second with `--force --no-run-cache`. Three real categories (bottle,
magnetic_tile, biscuit) are trained from `../shared/realbench` where that folder is present.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.record import ROOT, Claim, write_result

REALBENCH = ROOT.parent / "shared" / "realbench"
_PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro")


def main() -> None:
    """Measure and write the result."""
    raw: dict[str, Any] = {}
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as temporary:
        folder = Path(temporary)
        first, second = clone(folder / "first"), clone(folder / "second")
        for checkout in (first, second):
            run(checkout, "normscape", "data", "demo")
            run(checkout, "dvc", "commit", "--quiet", "--force", "data.dvc")
        raw["demo_seconds"] = timed(first, "dvc", "repro")
        again = run(first, "dvc", "repro")
        run(second, "dvc", "repro", "--force", "--no-run-cache")
        raw["demo"] = metrics(first)
        difference = largest_difference(raw["demo"], metrics(second))
        raw["demo_difference"] = difference
        claims += [
            Claim(
                "pipeline.reproduced", difference, 1e-6, "largest difference of a metric",
                "at most", "metrics.json of two clones with separate caches, the second forced",
            ),
            Claim(
                "pipeline.second_run", again.count("Running stage"), 0, "stages run", "exactly",
                "stages that a second `dvc repro` runs",
            ),
        ]  # fmt: skip
        if REALBENCH.is_dir():
            claims += real_categories(folder, raw)
    print(write_result("pipeline", raw, claims))


def real_categories(folder: Path, raw: dict[str, Any]) -> list[Claim]:
    """Train the three categories of realbench with the committed parameters."""
    checkout = clone(folder / "real")
    for category in sorted(path for path in REALBENCH.iterdir() if path.is_dir()):
        shutil.copytree(category, checkout / "data" / category.name)
    run(checkout, "dvc", "add", "--quiet", "data")
    raw["realbench_seconds"] = timed(checkout, "dvc", "repro")
    raw["realbench"] = found = metrics(checkout)
    present = [name for name in _PIXEL_METRICS if name in found["categories"]["biscuit"]]
    return [
        Claim(
            "pipeline.realbench_categories", len(found["categories"]), 3, "categories", "exactly",
            "categories evaluated, with the parameters of the demo",
        ),
        Claim(
            "pipeline.no_masks", len(present), 0, "metrics", "exactly",
            "pixel metrics reported for biscuit, which has no masks",
        ),
    ]  # fmt: skip


def clone(target: Path) -> Path:
    """A clone of the last commit with a DVC cache of its own."""
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(target)], check=True)
    return target


def metrics(checkout: Path) -> dict[str, Any]:
    """Its `metrics.json`."""
    text = (checkout / "artifacts" / "evaluation" / "metrics.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def largest_difference(one: Any, other: Any) -> float:
    """The largest absolute difference of two nested structures of numbers; inf if keys differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return float("inf")
        return max((largest_difference(one[key], other[key]) for key in one), default=0.0)
    return abs(one - other)


def timed(checkout: Path, *command: str) -> float:
    """Seconds that a command took."""
    start = time.monotonic()
    run(checkout, *command)
    return round(time.monotonic() - start, 1)


def run(checkout: Path, *command: str) -> str:
    """What a command printed; the clone's own library is used."""
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout / "src"),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }
    answer = subprocess.run(
        command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return answer.stdout


if __name__ == "__main__":
    main()
