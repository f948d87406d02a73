"""One monitor run over ten million rows of the score log: how long, and how much memory.

    make bench-monitor     # writes bench/results/monitor.json; about ten minutes on 2 cores

160 categories over 100 days, as a compaction leaves them; the newest day lies in parts as a busy
line writes them. On it three categories have drifted (their images are there, so that they are kept
and shown), three have more defects, one stays away and one product is unknown. The run is that of
`make monitor` without the sending, in a process of its own.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from bench.record import ROOT, Claim, write_result
from normscape.files import sha256_file
from normscape.params import Params, load_params
from normscape.registry.contract import PRODUCTION
from normscape.registry.store import open_registry
from normscape.scoring import log
from normscape.scoring.paths import score_log
from normscape.scoring.schema import SCHEMA
from tests.unit.monitoring.support import make_bundle

ROWS, CATEGORIES, DAYS = 10_000_000, 160, 100
LAST = "2026-03-14"
SECONDS, MEMORY_GIB = 60.0, 2.0

_REFERENCE = 200
_PART_ROWS = 512
_THRESHOLD = 2.0
_DRIFTING = ("product_010", "product_060", "product_110")
_RISING = ("product_020", "product_070", "product_120")
_ABSENT = "product_030"
_DAYS_AWAY = 4
_NEW = 60
_FOUND = {"drift": 3, "rising": 3, "missing": 1}
Figures = dict[str, Any]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.monitor")
    parser.add_argument("--rows", type=int, default=ROWS, help="of the score log")
    arguments = parser.parse_args()
    (ROOT / ".normscape").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="monitor-", dir=ROOT / ".normscape") as folder:
        raw = measured(Path(folder), arguments.rows)
        shutil.rmtree(Path(folder) / ".normscape" / "registry", onerror=_make_writable)
    print(write_result("monitor", raw, claims(raw)) if arguments.rows == ROWS else raw)


def measured(root: Path, rows: int, categories: int = CATEGORIES, days: int = DAYS) -> Figures:
    """Write the project and let a process of its own judge its newest day.

    Args:
        root: An empty folder.
        rows: Of the score log.
        categories: At least 121.
        days: At least 30.
    """
    started = time.perf_counter()
    params = make_line(root, rows, categories, days)
    written = time.perf_counter() - started
    child = subprocess.run(
        [sys.executable, "-m", "bench.monitor_child", str(root / "params.yaml")],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    answer = yaml.safe_load(child.stdout.splitlines()[-1])
    found = {name: answer["verdicts"].get(name, 0) for name in _FOUND}
    if rows >= ROWS and (found != _FOUND or answer["unknown"] != 1):
        raise RuntimeError(f"the monitor did not find what there is: {answer}")
    return {
        "rows": rows,
        "categories": categories,
        "days": days,
        "cores": len(os.sched_getaffinity(0)),
        "log_gib": round(_size(params.state / "scores") / 2**30, 3),
        "write_seconds": round(written, 1),
        **answer,
    }


def claims(raw: Figures) -> list[Claim]:
    """What the measurement says."""
    how = (
        f"one monitor run with {raw['rows']:,} rows of the score log, {raw['categories']} "
        f"categories and {raw['days']} days, on {raw['cores']} cores"
    )
    return [
        Claim("monitor.seconds", raw["seconds"], SECONDS, "seconds", "at most", f"{how}: the whole "
              "process, its start, pages and Evidently's report included"),
        Claim("monitor.memory_gib", raw["peak_gib"], MEMORY_GIB, "GiB", "at most",
              f"{how}: the most that the process had resident"),
    ]  # fmt: skip


def make_line(root: Path, rows: int, categories: int, days: int) -> Params:
    """A project with a model in production and a score log."""
    rng = np.random.default_rng(0)
    names = [f"product_{number:03d}" for number in range(categories)]
    shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
    params = load_params(root / "params.yaml")
    registry = open_registry(params)
    bundle = make_bundle(root / "bundle", _reference(names, rng))
    version = registry.register(bundle, reason="bench")
    registry.set_alias(PRODUCTION, version, expected=None, reason="bench")
    store, last = score_log(params), datetime.date.fromisoformat(LAST)
    for back in reversed(range(1, days)):
        day = (last - datetime.timedelta(days=back)).isoformat()
        frame = _rows(day, version, names, rows // days, rng)
        away = (frame["declared_category"] == _ABSENT) & (back < _DAYS_AWAY)
        log.append(store, frame[~away])
    newest = _last_day(root, _rows(LAST, version, names, rows // days, rng), rng)
    for start in range(0, len(newest), _PART_ROWS):
        log.append(store, newest.iloc[start : start + _PART_ROWS])
    return params


def _reference(names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    category = np.repeat(names, _REFERENCE)
    frame = pd.DataFrame({"category": category, "score": rng.normal(size=len(category))})
    return frame.assign(
        path=[f"{name}/train/good/{number}.png" for number, name in enumerate(category)],
        sha256=_hashes(len(category), rng),
        predicted_category=category,
        category_distance=rng.gamma(9.0, size=len(category)),
        category_p_value=0.5,
        **_looks(len(category), rng),
    )


def _rows(
    day: str, version: str, names: list[str], count: int, rng: np.random.Generator
) -> pd.DataFrame:
    number = rng.integers(0, len(names), count)
    category = np.array(names, dtype=object)[number]
    defect = np.where(rng.random(count) < 0.01, rng.uniform(3, 8, count), 0.0)
    score = rng.normal(size=count) + 0.1 * rng.normal(size=len(names))[number] + defect
    return pd.DataFrame(
        {
            **{field.name: None for field in SCHEMA},
            "path": [f"feed/{day}/{name}/{n:06d}.png" for n, name in enumerate(category)],
            "sha256": _hashes(count, rng),
            "day": day,
            "declared_category": category,
            "predicted_category": category,
            "category_distance": rng.gamma(9.0, size=count),
            "category_p_value": rng.random(count),
            "score": score,
            "p_value_declared": 0.5,
            "p_value_predicted": 0.5,
            "threshold": _THRESHOLD,
            "flagged": score > _THRESHOLD,
            "model_version": version,
            "runtime": "torch",
            "precision": "fp32",
            **_looks(count, rng),
            "scored_at": datetime.datetime.now(datetime.UTC),
        }
    )[SCHEMA.names]


def _last_day(root: Path, rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The newest day with its findings, and with images of the categories that have drifted."""
    rows = rows[rows["declared_category"] != _ABSENT].reset_index(drop=True)
    drifts = rows["declared_category"].isin(_DRIFTING)
    rows.loc[drifts, "score"] += 1.5
    rises = rows["declared_category"].isin(_RISING) & (rng.random(len(rows)) < 0.2)
    rows.loc[rises, "score"] += 6.0
    new = rows.index[rows["declared_category"] == "product_000"][:_NEW]
    rows.loc[new, "declared_category"] = None
    rows.loc[new, "category_p_value"] = 1e-5
    rows["flagged"] = rows["score"] > _THRESHOLD
    for index in rows.index[drifts | rows.index.isin(new)]:
        path = root / rows.loc[index, "path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        rows.loc[index, "sha256"] = sha256_file(path)
    return rows


def _looks(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "mean_intensity": rng.normal(0.5, 0.01, count).astype(np.float32),
        "std_intensity": rng.normal(0.05, 0.003, count).astype(np.float32),
        "sharpness": np.exp(rng.normal(-5, 0.2, count)).astype(np.float32),
    }


def _hashes(count: int, rng: np.random.Generator) -> list[str]:
    text = rng.bytes(32 * count).hex()
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _make_writable(function: Any, path: str, _: Any) -> None:
    Path(path).parent.chmod(0o755)
    Path(path).chmod(0o755)
    function(path)


if __name__ == "__main__":
    main()
