"""Large images: memory, and how small a defect may be, cut into tiles and not.

A model is trained on normal pictures of a fabric, once on tiles and once on whole pictures scaled
down; both score the same pictures with one pit each, and the same normal ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from bench.fabric import Picture, fabric, spoil, write
from bench.record import ROOT, Claim
from normscape.params import Params, load_params
from normscape.registry.code import read_code_state
from normscape.registry.contract import PRODUCTION
from normscape.registry.gate import decide
from normscape.registry.store import open_registry
from normscape.registry.writer import write_bundle
from normscape.scoring.result import ImageScore
from normscape.scoring.run import open_version
from normscape.scoring.scorer import Scorer
from normscape.stages.runner import run_stage

SIDE, TILE = 8192, 512
IMAGES, NORMALS, PLACES = 30, 6, 4
SIZES = (8, 12, 16, 20, 24, 32, 48)
CLAIMED = 20  # pixels
MEMORY_MIB = 200.0  # beside the decoded image

_TRAINED = ("manifest", "features", "prototypes", "novelty", "detector", "calibrate", "evaluate")
_SMALL_SIDE = 600


def measured(
    side: int = SIDE, tile: int = TILE, images: int = IMAGES
) -> tuple[dict[str, Any], list[Claim]]:
    """Train, score and measure.

    Args:
        side: Pixels per side of the pictures.
        tile: Pixels per side of a tile.
        images: Normal pictures; about half of them calibrate.

    Returns:
        The figures and what they say.
    """
    with tempfile.TemporaryDirectory(prefix="normscape-bench-") as folder:
        tiled = _trained(Path(folder) / "tiled", side, images, {"tile": tile})
        memory = _memory(tiled, side)
        raw: dict[str, Any] = {
            "side": side,
            "tile": tile,
            "memory_mib": memory,
            "decoded_mib": 4 * side**2 / 2**20,  # Pillow keeps four bytes a pixel
            "tiled": _judged(tiled, side),
        }
        whole = _trained(Path(folder) / "whole", side, images, {"tile": None})
        raw["whole"] = _judged(whole, side)
    return raw, claims(raw)


def claims(raw: dict[str, Any]) -> list[Claim]:
    """What the measurement says."""
    side, tile = raw["side"], raw["tile"]
    memory, size = raw["memory_mib"], str(CLAIMED)
    pictures = f"pictures of {side} x {side} pixels"
    return [
        Claim(
            "tiles.memory",
            round(memory["large"] - memory["small"] - raw["decoded_mib"]),
            MEMORY_MIB, "MiB", "at most",
            f"peak memory of `normscape score` on one of the {pictures}, less that on one of "
            f"{_SMALL_SIDE} x {_SMALL_SIDE} and less the decoded picture",
        ),
        Claim(
            "tiles.found", raw["tiled"]["found"][size], 1.0, "share", "at least",
            f"pits of {size} pixels in {pictures} that are flagged, cut into tiles of {tile}",
        ),
        Claim(
            "tiles.missed_whole", raw["whole"]["found"][size], 0.25, "share", "at most",
            "the same, scaled down instead of cut",
        ),
        Claim(
            "tiles.false_alarms", raw["tiled"]["false_alarms"], 0.25, "share", "at most",
            f"normal {pictures} that are flagged, cut into tiles",
        ),
        Claim(
            "tiles.location", raw["tiled"]["location_error"][size], tile / 16, "pixels", "at most",
            f"distance of the map's peak from the middle of a pit of {size} pixels, the largest",
        ),
    ]  # fmt: skip


def _trained(root: Path, side: int, images: int, tiling: dict[str, Any]) -> Params:
    """A project with the repository's parameters and a model in production."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["tiling"] |= tiling
    content["manifest"] |= {"group_pattern": None, "calibration_percent": 50}
    content["calibrate"] |= {"target_fpr": 0.1}
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n", encoding="utf-8")
    folder = root / "data" / "fabric"
    for number in range(images):
        write(folder / "train" / "good" / f"{number:03d}.png", fabric(number, side))
    for number in range(2):
        normal = fabric(1000 + number, side)
        write(folder / "test" / "good" / f"{number}.png", normal)
        write(folder / "test" / "pit" / f"{number}.png", spoil(normal, side // 2, side // 3, 64))
    params = load_params(root / "params.yaml")
    for stage in _TRAINED:
        run_stage(stage, params)
    metrics = json.loads((params.artifacts / "evaluation" / "metrics.json").read_bytes())
    decision = decide(metrics, None, params.gate)
    write_bundle(root / "bundle", params, read_code_state(ROOT), decision)
    registry = open_registry(params)
    version = registry.register(root / "bundle", reason="bench")
    registry.set_alias(PRODUCTION, version, expected=None, reason="bench")
    return params


def _judged(params: Params, side: int) -> dict[str, Any]:
    """How many normal pictures and pits of each size are flagged, and how well they are located."""
    scorer = Scorer.open(
        open_version(params, PRODUCTION)[1], root=params.root, cache=params.state / "cache"
    )

    def score(picture: Picture) -> ImageScore:
        return scorer.score([Image.fromarray(picture)])[0]

    alarms = [score(fabric(5000 + number, side)).flagged for number in range(NORMALS)]
    found: dict[str, float] = {}
    errors: dict[str, float] = {}
    for size in SIZES:
        flagged, distances = [], []
        for seed, x, y in _places(side):
            result = score(spoil(fabric(seed, side), x, y, size))
            flagged.append(result.flagged)
            peak = result.peak or _of_whole(result, side)
            distances.append(float(np.hypot(peak[0] - x, peak[1] - y)))
        found[str(size)] = float(np.mean(flagged))
        errors[str(size)] = round(max(distances), 1)
    return {
        "false_alarms": float(np.mean(alarms)),
        "found": found,
        "location_error": errors,
        "threshold": scorer.calibration.threshold("fabric"),
    }


def _places(side: int) -> Iterator[tuple[int, int, int]]:
    """Seed of a picture and the middle of its pit, away from the border."""
    generator = np.random.default_rng(0)
    for number in range(PLACES):
        x, y = generator.integers(side // 16, side - side // 16, 2).tolist()
        yield 6000 + number, x, y


def _of_whole(result: ImageScore, side: int) -> tuple[float, float]:
    row, column = np.unravel_index(result.map.argmax(), result.map.shape)
    return (column + 0.5) / result.map.shape[1] * side, (row + 0.5) / result.map.shape[0] * side


def _memory(params: Params, side: int) -> dict[str, float]:
    """Peak MiB of a process that scores a small picture, and after that a large one."""
    days = [params.root / "feed" / day for day in ("2026-03-14", "2026-03-15")]
    for day, pixels in zip(days, (_SMALL_SIDE, side), strict=True):
        write(day / "fabric" / "a.png", fabric(7000, pixels))
    command = [sys.executable, "-m", "bench.tiles_child", str(params.root / "params.yaml")]
    answer = subprocess.run(
        [*command, *map(str, days)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    small, large = (float(line) for line in answer.stdout.split())
    return {"small": round(small), "large": round(large)}
