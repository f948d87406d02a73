"""The project's detector beside its peers on the demo, one seed: a table in minutes, no claims.

    make bench-quick        # under 10 minutes on 2 cores; needs `make data`

PatchCore takes part where `.venv-peers` is there (`make bench-peers-env`).
"""

from __future__ import annotations

import sys

import pandas as pd

from bench import datasets
from bench.ours import OurResult, bench_params, run_ours
from bench.peers.job import Method, check_environment
from bench.peers.runner import PeerResult, run_peer
from bench.score import measure
from normscape.errors import NormscapeError, UsageError

_TEST_IMAGES = 20
_METRICS = {"image_auroc": "I-AUROC", "pixel_auroc": "P-AUROC", "aupro": "AUPRO"}


def main() -> int:
    """Run, measure, print; returns the exit code."""
    try:
        rows = fewer_tests(datasets.demo((*datasets.TEXTURES, *datasets.SOLAR)))
        results: dict[str, OurResult | PeerResult] = {
            "normscape": run_ours(rows, bench_params(), 0, name="quick")
        }
        for method in peers():
            results[method] = run_peer(method, rows, 0)
        test = datasets.test_rows(rows)
        found = {name: measure(test, r.scores, r.maps) for name, r in results.items()}
    except NormscapeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{'':12}{'category':12}" + "".join(f"{title:>9}" for title in _METRICS.values()))
    for name, metrics in found.items():
        for category, figures in {**metrics["categories"], "mean": metrics["mean"]}.items():
            cells = (f"{figures[m]:9.3f}" if m in figures else f"{'-':>9}" for m in _METRICS)
            print(f"{name:12}{category:12}" + "".join(cells))
    return 0


def fewer_tests(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the first test images of each category and label; all others stay."""
    test = rows[rows["split"] == "test"]
    kept = test.groupby(["category", "label"]).head(_TEST_IMAGES).index
    return rows[(rows["split"] != "test") | rows.index.isin(kept)].reset_index(drop=True)


def peers() -> list[Method]:
    """The peers that can run here."""
    try:
        check_environment()
    except UsageError as error:
        print(f"without PatchCore: {error}", file=sys.stderr)
        return ["knn"]
    return ["knn", "patchcore"]


if __name__ == "__main__":
    sys.exit(main())
