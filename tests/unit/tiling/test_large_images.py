"""From large training images to a small defect in the score log, with a real, small model."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.fabric import fabric, spoil, write
from bench.record import ROOT
from normscape.backbones import load_backbone
from normscape.data.manifest import read_manifest
from normscape.errors import UsageError
from normscape.export.write import export_bundle
from normscape.files import read_json
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.champion import rescore_champion
from normscape.registry.store import open_registry
from normscape.review.recalibrate import recalibrate
from normscape.scoring import log
from normscape.scoring.inbox import Inbox
from normscape.scoring.paths import overlay_path, score_log
from normscape.scoring.run import open_version, score_place
from normscape.scoring.scorer import Scorer
from normscape.sections.model import TilingParams

from .project import DEFECT, SIDE, run_stages

pytestmark = pytest.mark.slow
DAY = "2026-03-14"
CELL = 16  # pixels of a tile of 512


def scorer(params: Params) -> Scorer:
    bundle = open_version(params, "production")[1]
    return Scorer.open(bundle, root=params.root, cache=params.state / "cache")


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    return fabric(7777, SIDE)


def test_a_small_defect_is_found_and_located_and_normal_images_pass(
    project: Params, normal: np.ndarray
) -> None:
    judge = scorer(project)
    clean = [judge.score([Image.fromarray(fabric(at, SIDE))])[0] for at in range(8000, 8006)]
    assert sum(one.flagged for one in clean) <= 2  # one in ten is what the calibration promises
    for x, y in ((1000, 700), (512, 384), (SIDE - 60, 1400)):
        (found,) = judge.score([Image.fromarray(spoil(normal, x, y, DEFECT))], ["fabric"])
        assert found.flagged
        assert found.peak is not None
        assert np.abs(np.subtract(found.peak, (x, y))).max() <= 2 * CELL
        assert found.map.shape == (SIDE // CELL, SIDE // CELL)


def test_the_same_model_without_tiles_does_not_see_it(project: Params, normal: np.ndarray) -> None:
    paths = project.paths.model_copy(update={"artifacts": Path("whole")})
    plain = project.model_copy(update={"tiling": TilingParams(), "paths": paths})
    shutil.copytree(project.artifacts, plain.artifacts)
    run_stages(plain, ["features", "prototypes", "detector", "calibrate", "evaluate"])
    whole = pd.read_parquet(plain.artifacts / "evaluation" / "scores.parquet")
    tiled = pd.read_parquet(project.artifacts / "evaluation" / "scores.parquet")
    defects = tiled["label"] == 1
    assert tiled.loc[defects, "flagged_declared"].all()
    assert not whole.loc[defects, "flagged_declared"].any()


def test_the_score_hardly_depends_on_where_the_tiles_lie(
    project: Params, normal: np.ndarray
) -> None:
    judge = scorer(project)
    stride = 384
    places = [(384 + step * stride // 6, 500 + step * stride // 6) for step in range(7)]
    scores = [
        judge.score([Image.fromarray(spoil(normal, *place, DEFECT))])[0].score for place in places
    ]
    # As much as moving a defect inside one tile changes it: tokens are coarse, too.
    assert max(scores) - min(scores) < 0.15 * np.mean(scores)
    assert min(scores) > judge.calibration.threshold("fabric")


def test_an_image_has_one_score_in_calibration_evaluation_and_production(project: Params) -> None:
    judge = scorer(project)
    reference = pd.read_parquet(project.artifacts / "calibration" / "reference.parquet").head(2)
    tested = pd.read_parquet(project.artifacts / "evaluation" / "scores.parquet").head(2)
    for row in pd.concat([reference, tested]).to_dict("records"):
        with Image.open(project.data / row["path"]) as image:
            (result,) = judge.score([image.convert("RGB")])
        assert np.float32(result.score) == np.float32(row["score"])
        assert np.float32(result.category_distance) == np.float32(row["category_distance"])


def test_what_is_small_enough_is_scored_as_a_whole(project: Params, normal: np.ndarray) -> None:
    bundle = open_version(project, "production")[1]
    tiling = bundle.calibration.tiling.model_copy(update={"above": 700})
    calibration = replace(bundle.calibration, tiling=tiling)
    judge = Scorer(load_backbone(project.backbone), bundle.model, calibration)
    small = Image.fromarray(fabric(1, 600))
    whole, tiled = judge.score([small, Image.fromarray(normal)])
    (alone,) = judge.score([small])
    assert whole.score == alone.score
    assert whole.peak is None
    assert whole.map.shape == (64, 64)
    assert tiled.peak is not None


def test_the_defects_are_measured_in_cells(project: Params) -> None:
    metrics = read_json(project.artifacts / "evaluation" / "metrics.json")
    assert metrics["categories"]["fabric"]["pixel_auroc"] > 0.99
    assert metrics["categories"]["fabric"]["image_auroc"] == 1.0
    assert (project.artifacts / "evaluation" / "gallery" / "fabric.png").exists()


def test_a_day_of_large_images(project: Params, normal: np.ndarray) -> None:
    day = project.root / "feed" / DAY
    write(day / "fabric" / "bad.png", spoil(normal, 1500, 333, DEFECT))
    write(day / "fabric" / "good.png", fabric(8000, SIDE))
    write(day / "loose.png", fabric(9999, 600))
    (day / "torn.png").write_bytes((day / "loose.png").read_bytes()[:90_000])
    Image.new("1", (20_000, 20_000)).save(day / "bomb.png")
    (summary,) = score_place(day, project, progress=False)
    rows = log.read(score_log(project)).set_index("path")
    bad = rows.loc[f"feed/{DAY}/fabric/bad.png"]
    assert bad["flagged"]
    assert bad["sharpness"] > 0
    assert not rows.loc[f"feed/{DAY}/fabric/good.png", "flagged"]
    assert "megapixels" in rows.loc[f"feed/{DAY}/bomb.png", "error"]
    assert rows.loc[f"feed/{DAY}/torn.png", "error"] is not None
    assert (summary.logged, len(summary.errors)) == (5, 2)
    inbox = Inbox.of(project)
    record = inbox.find(str(bad["sha256"])[:12])
    assert record.peak is not None
    assert np.abs(np.subtract(record.peak, (1500, 333))).max() <= 2 * CELL
    assert inbox.image(record) is not None
    with Image.open(overlay_path(project, "v0001", DAY, record.sha256)) as overlay:
        assert overlay.width > 1200
        assert overlay.height < 500
    (again,) = score_place(day, project, progress=False)
    assert (again.logged, again.skipped) == (0, 5)


def test_how_images_are_cut_belongs_to_the_model(project: Params) -> None:
    bundle = Bundle.load(open_registry(project).get("v0001"))
    assert bundle.calibration.tiling == project.tiling
    today = project.model_copy(update={"tiling": TilingParams()})
    rows = read_manifest(project.artifacts / "manifest.parquet")
    again = rescore_champion(bundle, rows[rows["split"] == "test"], today)
    assert again.metrics == bundle.metrics
    laxer = project.calibrate.model_copy(update={"target_fpr": 0.4})
    new = recalibrate(today.model_copy(update={"calibrate": laxer}))
    assert new.version is not None
    before, after = new.thresholds["fabric"]
    assert after < before
    assert Bundle.load(open_registry(project).get(new.version)).calibration.tiling.tile == 512


def test_an_export_that_would_not_cut_is_refused(project: Params, tmp_path: Path) -> None:
    version, bundle = open_version(project, "production")
    with pytest.raises(UsageError, match="v0001 cuts large images into tiles"):
        export_bundle(bundle, version, "torch", tmp_path / "out", images=[], params=project)


def test_memory_is_that_of_the_image_and_not_of_its_tiles(project: Params) -> None:
    side = 8192
    write(project.root / "small" / "2026-03-15" / "fabric" / "a.png", fabric(1, 600))
    pattern = np.tile(fabric(2, 1024), (side // 1024, side // 1024, 1))
    write(
        project.root / "large" / "2026-03-16" / "fabric" / "a.png",
        spoil(pattern, 5000, 3000, DEFECT),
    )
    days = [project.root / "small" / "2026-03-15", project.root / "large" / "2026-03-16"]
    answer = subprocess.run(
        [sys.executable, "-m", "bench.tiles_child", project.root / "params.yaml", *days],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    small, large = json.loads("[" + ",".join(answer.stdout.split()) + "]")
    decoded = 4 * side**2 / 2**20  # Pillow keeps four bytes a pixel
    assert large - small < decoded + 200
    row = log.read(score_log(project), days="2026-03-16").iloc[0]
    assert row["score"] > 0
