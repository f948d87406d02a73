"""What the stages that learn see of large images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from normscape.data.images import read_image
from normscape.data.manifest import build_manifest, read_manifest, write_manifest
from normscape.errors import DataError
from normscape.features.extract import ensure_features, open_store
from normscape.features.preprocess import to_batch
from normscape.params import Params
from normscape.prototypes.training import training_images
from normscape.stages import features
from normscape.tiling.grid import Grid, cut
from normscape.tiling.training import ensure_tiles, run_on_tiles, tile_manifest


@pytest.fixture
def params(tmp_path: Path) -> Params:
    """Four large and four small images of a category, all normal."""
    generator = np.random.default_rng(0)
    for number in range(8):
        size = (300, 200, 3) if number % 2 else (90, 64, 3)
        path = tmp_path / "data" / "plate" / "train" / "good" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(path)
    return Params.model_validate(
        {
            "root": tmp_path,
            "manifest": {"calibration_percent": 1, "calibration_min_images": 1},
            "backbone": {
                "name": "tf_efficientnet_lite0", "input_size": 64, "levels": [2],
                "runtime": "torch", "precision": "fp32",
            },
            "tiling": {"tile": 128, "above": 128, "train_tiles": 3},
            "features": {"batch_size": 4},
        }
    )  # fmt: skip


@pytest.fixture
def manifest(params: Params) -> pd.DataFrame:
    frame = build_manifest(params.data, params.manifest, progress=False)
    frame["split"] = "train"
    write_manifest(params.artifacts / "manifest.parquet", frame)
    return frame


def test_large_images_are_replaced_by_their_tiles(params: Params, manifest: pd.DataFrame) -> None:
    tiles = tile_manifest(manifest, params.tiling)
    assert len(tiles) == 4 + 4 * 3
    assert not tiles["sha256"].duplicated().any()
    images = tiles["path"].str.partition("#")[0]
    assert set(images) == set(manifest["path"])
    groups = manifest.set_index("path")["group"]
    assert (tiles["group"].to_numpy() == groups[images].to_numpy()).all()
    write_manifest(params.root / "tiles.parquet", tiles)
    assert len(read_manifest(params.root / "tiles.parquet")) == len(tiles)


def test_nothing_is_replaced_without_tiles(params: Params, manifest: pd.DataFrame) -> None:
    plain = params.tiling.model_copy(update={"tile": None})
    pd.testing.assert_frame_equal(tile_manifest(manifest, plain), manifest)


def test_test_and_calibration_images_are_not_learned_from(
    params: Params, manifest: pd.DataFrame
) -> None:
    manifest.loc[:3, "split"] = ["test", "test", "calibration", "calibration"]
    tiles = tile_manifest(manifest, params.tiling)
    assert set(tiles["path"].str.partition("#")[0]) == set(manifest["path"][4:])


def test_the_features_of_a_tile_are_those_of_the_tile_as_an_image(
    params: Params, manifest: pd.DataFrame
) -> None:
    store = ensure_tiles(params, manifest, progress=False)
    row = manifest.iloc[1]
    key, (left, top) = next(
        iter(Grid.of(row["width"], row["height"], params.tiling).learned(row["sha256"], 3).items())
    )
    tile = cut(read_image(params.data / row["path"]), left, top, 128)
    backbone = open_store(params)[1]
    (expected,) = backbone(to_batch([tile], 64))
    torch.testing.assert_close(store.read([key])[0], expected, atol=2e-3, rtol=2e-3)


def test_only_what_is_missing_is_decoded(params: Params, manifest: pd.DataFrame) -> None:
    ensure_tiles(params, manifest, progress=False)
    shards = sorted((params.state / "features").rglob("*.f16"))
    for path in params.data.rglob("*.png"):
        path.write_bytes(b"")
    ensure_tiles(params, manifest, progress=False)
    assert sorted((params.state / "features").rglob("*.f16")) == shards
    more = params.model_copy(update={"tiling": params.tiling.model_copy(update={"train_tiles": 4})})
    with pytest.raises(DataError, match="0 bytes"):
        ensure_tiles(more, manifest, progress=False)


def test_an_image_that_has_changed_is_refused(params: Params, manifest: pd.DataFrame) -> None:
    large = manifest.loc[manifest["width"] > 128, "path"].iloc[0]
    Image.new("RGB", (200, 300)).save(params.data / large)
    with pytest.raises(DataError, match=f"{large} has changed since"):
        ensure_tiles(params, manifest, progress=False)


def test_a_stage_that_learns_sees_the_tiles_and_its_out_is_the_project_s(
    params: Params, manifest: pd.DataFrame
) -> None:
    features.run(params)
    listed = read_manifest(params.artifacts / "features" / "tiles.parquet")
    seen = []

    def stage(given: Params) -> None:
        rows = read_manifest(given.artifacts / "manifest.parquet")
        learn, _ = training_images(rows, 0)
        seen.extend(learn.hashes)
        store = ensure_features(given, learn.items(given.data))  # all are there: none is opened
        (given.artifacts / "prototypes").mkdir()
        (given.artifacts / "prototypes" / "count").write_text(str(len(store.read(learn.hashes)[0])))

    run_on_tiles("prototypes", stage, params)
    assert (params.artifacts / "prototypes" / "count").read_text() == "16"
    assert sorted(seen) == sorted(listed["sha256"])
    assert not (params.state / "tiles" / "prototypes").exists()


def test_a_stage_has_what_it_builds_on_and_needs_no_other(
    params: Params, manifest: pd.DataFrame
) -> None:
    earlier = params.artifacts / "prototypes"
    earlier.mkdir(parents=True)
    (earlier / "kept").touch()
    seen: list[str] = []

    def stage(inside: Params) -> None:
        seen.extend(sorted(path.name for path in inside.artifacts.iterdir()))
        (inside.artifacts / "detector").mkdir()

    run_on_tiles("detector", stage, params)  # DVC may run it before `novelty`
    assert seen == ["manifest.parquet", "prototypes"]


def test_lost_features_are_extracted_again_before_a_stage_learns(
    params: Params, manifest: pd.DataFrame
) -> None:
    counts = []

    def stage(given: Params) -> None:
        tiles = read_manifest(given.artifacts / "manifest.parquet")["sha256"]
        counts.append(len(open_store(given)[0].missing(list(tiles))))
        (given.artifacts / "prototypes").mkdir()

    run_on_tiles("prototypes", stage, params)
    assert counts == [4]  # the small images, which the stage itself extracts
