"""The score log with a million rows, and what `normscape score` costs beside its scorer alone.

Images are drawn from the normal test images of the demo's solar cells: enlarged, cut at different
places, written as PNG; the thresholds are those of calibration images drawn alike, so that no more
are flagged than `calibrate.target_fpr` says. The in-memory scorer decodes in the background like
`normscape score` and forgets the results; `normscape score` also hashes, measures the pictures,
draws what is flagged, keeps some for review and writes the log.
"""

from __future__ import annotations

import datetime
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from bench import datasets
from bench.ours import bench_params, trained, with_changes
from bench.peers.speed import alternate
from bench.record import ROOT, Claim
from bench.scorer import BATCH, prepared
from normscape.calibration.calibrator import fit_calibration
from normscape.data.images import decode_image, read_image
from normscape.features.preprocess import to_batch
from normscape.novelty.inspector import Inspector
from normscape.params import Params
from normscape.scoring import log
from normscape.scoring.compact import compact
from normscape.scoring.listing import DayImages, list_images
from normscape.scoring.local_parts import LocalParts
from normscape.scoring.run import score_days
from normscape.scoring.schema import SCHEMA
from normscape.scoring.scorer import Scorer

DAY = "2026-03-14"
VERSION = "v0001"
DAYS, CATEGORIES, PART_ROWS = 50, 20, 512
WEEK = 7
ROUNDS = 5
SIDE, MARGIN = 512, 16

Figures = dict[str, Any]


def measured(images: int = 2000, rows: int = 1_000_000) -> tuple[Figures, list[Claim]]:
    """Measure both; the figures and what they say.

    Args:
        images: How many are scored in a round.
        rows: In the log.
    """
    with tempfile.TemporaryDirectory(prefix="production-", dir=ROOT / ".normscape") as folder:
        raw = {
            "log": log_figures(Path(folder) / "log", rows),
            "throughput": throughput(Path(folder) / "project", images),
        }
    return raw, claims(raw)


def log_figures(root: Path, rows: int) -> Figures:
    """Seconds to append to a log and to read a week of one category from it.

    Args:
        root: Where to write it.
        rows: Of `DAYS` days and `CATEGORIES` categories, in parts as a busy line writes them.
    """
    store, rng = LocalParts(root), np.random.default_rng(0)
    first = datetime.date.fromisoformat(DAY)
    days = [(first + datetime.timedelta(days=each)).isoformat() for each in range(DAYS)]
    for day in days:
        frame = _rows(day, rows // DAYS, rng)
        for start in range(0, len(frame), PART_ROWS):
            log.append(store, frame.iloc[start : start + PART_ROWS])
    week, append_seconds = days[20 : 20 + WEEK], []
    for _ in range(ROUNDS):
        fresh = _rows(week[0], PART_ROWS, rng).to_dict("records")
        append_seconds.append(_seconds(partial(_append, store, week[0], fresh)))
    read = partial(log.read, store, days=week, model_version=VERSION, category="product_03")
    window = len(read())
    in_parts = [_seconds(read) for _ in range(ROUNDS)]
    parts = sum(len(store.names(each)) for each in store.partitions())
    compact_seconds = _seconds(partial(compact, store))
    if len(read()) != window:
        raise RuntimeError("the compaction changed the rows of the window")
    return {
        "rows": rows + ROUNDS * PART_ROWS,
        "parts": parts,
        "window_rows": window,
        "append_seconds": append_seconds,
        "read_parts_seconds": in_parts,
        "compact_seconds": compact_seconds,
        "read_compact_seconds": [_seconds(read) for _ in range(ROUNDS)],
    }


def throughput(root: Path, images: int) -> Figures:
    """Images a second of `normscape score` and of its scorer alone, in turns.

    Args:
        root: A folder for the project that scores.
        images: How many.
    """
    rows = datasets.demo((*datasets.TEXTURES, *datasets.SOLAR))
    normal = datasets.choose(rows[rows["label"] == 0], datasets.SOLAR)
    held = normal[normal["split"] == "calibration"]
    draw_images(root / "held", held, len(held))
    model = trained(rows, bench_params(), name="production") / "model"
    scorer = calibrated(model, sorted((root / "held").glob("*/*")))
    day = root / "feed" / DAY
    draw_images(day, normal[normal["split"] == "test"], images)
    params = with_changes(bench_params(), {"paths.state": root / "state"})
    days = list_images(day, root)
    paths = [(source.path, source.declared) for source in days[0].sources]
    flagged: list[int] = []

    def alone() -> float:
        return len(paths) / _seconds(partial(score_in_memory, scorer, paths))

    def production() -> float:
        fresh = with_changes(params, {"paths.state": root / f"state-{len(flagged)}"})
        seconds = _seconds(partial(_score, days, scorer, fresh, flagged))
        return len(paths) / seconds

    rates = alternate({"in_memory": alone, "normscape_score": production}, ROUNDS)
    return {
        "images": len(paths),
        "flagged": flagged[0],
        "backbone": {"runtime": scorer.identity.runtime, "precision": scorer.identity.precision},
        "images_per_second": {
            name: [round(rate, 2) for rate in found] for name, found in rates.items()
        },
    }


def calibrated(model: Path, held: list[Path]) -> Scorer:
    """The trained model with thresholds from normal images `category/image`."""
    scorer, backbone = prepared(model)
    names = [path.parent.name for path in held]
    found = [
        score
        for start in range(0, len(held), BATCH)
        for score in scorer.score(
            [read_image(path) for path in held[start : start + BATCH]],
            names[start : start + BATCH],
        )
    ]
    calibration = fit_calibration(
        np.array([each.score for each in found]), names,
        np.array([each.category_distance for each in found]),
        bench_params().calibrate, backbone.identity,
    )  # fmt: skip
    return Scorer(backbone, Inspector.open(model, model), calibration)


def draw_images(folder: Path, normal: pd.DataFrame, count: int) -> None:
    """Write `count` different images of the table's normal ones, `category/number.png`."""
    order = normal.sample(frac=1, random_state=0)
    for number in range(count):
        row = order.iloc[number % len(order)]
        side = SIDE + MARGIN
        whole = read_image(row["path"]).resize((side, side), Image.Resampling.BICUBIC)
        left, top = divmod(number // len(order), MARGIN)  # no two alike
        target = folder / str(row["category"]) / f"{number:05d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.crop((left, top, left + SIDE, top + SIDE)).save(target)


def score_in_memory(scorer: Scorer, paths: list[tuple[Path, str | None]]) -> None:
    """Decode in the background and score; nothing is kept."""
    batch: list[Tensor] = []
    declared: list[str | None] = []
    for pixels, category in _decoded(paths, scorer.identity.input_size):
        batch.append(pixels)
        declared.append(category)
        if len(batch) == BATCH:
            scorer.score_batch(torch.cat(batch), declared)
            batch, declared = [], []
    if batch:
        scorer.score_batch(torch.cat(batch), declared)


def claims(raw: Figures) -> list[Claim]:
    """What the measurement says; ratios are medians over rounds that took turns."""
    found, rates = raw["log"], raw["throughput"]["images_per_second"]
    ratio = np.array(rates["normscape_score"]) / np.array(rates["in_memory"])
    rows, backbone = f"a log of {found['rows']} rows", raw["throughput"]["backbone"]

    def seconds(name: str, key: str, how: str) -> Claim:
        value = round(float(np.median(found[key])), 3)
        return Claim(f"production.{name}", value, 1.0, "seconds", "at most", how)

    return [
        Claim(
            "production.throughput", round(float(np.median(ratio)), 3), 0.9, "ratio", "at least",
            f"images a second of `normscape score` over its scorer in memory, decoding included in "
            f"both, {raw['throughput']['images']} images of {SIDE} pixels a side, "
            f"{backbone['runtime']} in {backbone['precision']}",
        ),
        seconds("append", "append_seconds", f"opening a writer of a day in {rows} and one commit"),
        seconds(
            "window", "read_compact_seconds",
            f"one category of {WEEK} days ({found['window_rows']} rows), read from {rows}, "
            "compacted",
        ),
        seconds(
            "window_parts", "read_parts_seconds",
            f"the same before the compaction, from {found['parts']} parts",
        ),
    ]  # fmt: skip


def _rows(day: str, count: int, rng: np.random.Generator) -> pd.DataFrame:
    names = np.array([f"product_{number:02d}" for number in range(CATEGORIES)])
    category = names[rng.integers(0, CATEGORIES, count)]
    drawn = {
        field.name: rng.random(count) for field in SCHEMA if str(field.type) in ("double", "float")
    }
    now = datetime.datetime.now(datetime.UTC)
    return pd.DataFrame(
        {
            **drawn,
            "path": [f"feed/{day}/{name}/{n:06d}.png" for n, name in enumerate(category)],
            "sha256": [rng.bytes(32).hex() for _ in range(count)],
            "day": day,
            "declared_category": category,
            "predicted_category": category,
            "flagged": drawn["score"] > drawn["threshold"],
            "error": None,
            "model_version": VERSION,
            "runtime": "openvino",
            "precision": "bf16",
            "scored_at": now,
        }
    )[SCHEMA.names]


def _append(store: LocalParts, day: str, rows: list[dict[str, Any]]) -> None:
    log.LogWriter(store, day, VERSION).append(rows)


def _score(days: list[DayImages], scorer: Scorer, params: Params, flagged: list[int]) -> None:
    summary = score_days(days, scorer, VERSION, params, progress=False)[0]
    if summary.logged != summary.found:
        raise RuntimeError(f"not every image was scored: {summary.explain()}")
    flagged.append(summary.flagged)


def _decoded(
    paths: list[tuple[Path, str | None]], size: int
) -> Iterator[tuple[Tensor, str | None]]:
    def one(path: Path) -> Tensor:
        return to_batch([decode_image(path.read_bytes()).image], size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: deque[tuple[Future[Tensor], str | None]] = deque()
        for path, category in paths:
            waiting.append((pool.submit(one, path), category))
            if len(waiting) > 2 * BATCH:
                future, name = waiting.popleft()
                yield future.result(), name
        for future, name in waiting:
            yield future.result(), name


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 4)
