"""Training on tiles: to the stages that learn, each learned tile is an image of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from normscape.data.images import read_image
from normscape.data.manifest import read_manifest, write_manifest
from normscape.errors import DataError
from normscape.features.extract import open_store
from normscape.features.preprocess import to_batch
from normscape.features.store import FeatureStore
from normscape.files import atomic_folder, sha256_file
from normscape.params import Params
from normscape.progress import progress_bar
from normscape.sections.model import TilingParams
from normscape.tiling.grid import Grid, cut

if TYPE_CHECKING:
    import pandas as pd

LEARNING: dict[str, tuple[str, ...]] = {
    "prototypes": (), "novelty": (), "detector": ("prototypes",),
}  # fmt: skip
"""The stages that learn from training images, and those of them that each one builds on."""


def is_cut(rows: pd.DataFrame, tiling: TilingParams) -> pd.Series[bool]:
    """Which rows of a manifest are images that are cut into tiles."""
    return (rows[["width", "height"]].max(axis=1) > tiling.above) & (tiling.tile is not None)


def tile_manifest(manifest: pd.DataFrame, tiling: TilingParams) -> pd.DataFrame:
    """The manifest of what is learned from: training images, or the tiles of those that are cut.

    A tile has the category and the group of its image. Its `sha256` is the name of its features
    in the store, made of the image's and of its place; its `path` says where it was cut.
    """
    import pandas as pd

    rows = _learnable(manifest)
    tiled = is_cut(rows, tiling)
    tiles = [
        image | {"sha256": key, "path": f"{image['path']}#{left},{top}"}
        for image in rows[tiled].to_dict("records")
        for key, (left, top) in _learned(image, tiling).items()
    ]
    both = pd.concat([rows[~tiled], pd.DataFrame(tiles, columns=rows.columns).astype(rows.dtypes)])
    return both.sort_values("path", ignore_index=True)


def ensure_tiles(params: Params, manifest: pd.DataFrame, *, progress: bool = True) -> FeatureStore:
    """Extract the features of those learned tiles that have none, and return the store.

    One image is decoded at a time; the tiles themselves are not kept.

    Raises:
        DataError: An image cannot be decoded, or its file is not the one in the manifest.
        UsageError: The parameters describe no backbone that can run here.
        NormscapeError: The weights cannot be read, or the store cannot be written.
    """
    store, backbone = open_store(params)
    rows = _learnable(manifest)
    rows = rows[is_cut(rows, params.tiling)].drop_duplicates("sha256").sort_values("path")
    images = [
        _Image(params.data / row["path"], row["sha256"], _learned(row, params.tiling))
        for row in rows.to_dict("records")
    ]
    missing = set(store.missing([key for image in images for key in image.tiles]))
    if not missing:
        return store
    tiles = (tile for image in images for tile in image.cut(missing, params))
    with (
        progress_bar("features of tiles", len(missing), progress) as report,
        store.writer(params.features.shard_images) as writer,
    ):
        done = 0
        while batch := list(islice(tiles, params.features.batch_size)):
            writer.add([key for key, _ in batch], backbone(torch.cat([tile for _, tile in batch])))
            done += len(batch)
            report(done, "")
    return store


def run_on_tiles(name: str, run: Callable[[Params], None], params: Params) -> None:
    """Run a stage that learns on `tile_manifest`, whose features are extracted where missing.

    The stage works in a folder of its own, in which that manifest takes the place of the images'.

    Args:
        name: One of `LEARNING`.
        run: The stage.
        params: The project.

    Raises:
        NormscapeError: What the stage itself or `ensure_tiles` raises.
    """
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    ensure_tiles(params, manifest)
    place = params.paths.state / "tiles" / name
    folder = params.root / place
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run has left
    try:
        write_manifest(folder / "manifest.parquet", tile_manifest(manifest, params.tiling))
        for earlier in LEARNING[name]:
            if (params.artifacts / earlier).is_dir():  # the stage says what it lacks
                shutil.copytree(params.artifacts / earlier, folder / earlier)
        paths = params.paths.model_copy(update={"artifacts": place})
        run(params.model_copy(update={"paths": paths}))
        with atomic_folder(params.artifacts / name) as out:
            shutil.copytree(folder / name, out, dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Image:
    path: Path
    sha256: str
    tiles: dict[str, tuple[int, int]]

    def cut(self, wanted: set[str], params: Params) -> Iterator[tuple[str, Tensor]]:
        """Name and pixels `(1, 3, S, S)` of the wanted tiles; decodes nothing if there are none."""
        places = {key: place for key, place in self.tiles.items() if key in wanted}
        tile = params.tiling.tile
        if not places or tile is None:
            return
        image = read_image(self.path)
        if sha256_file(self.path) != self.sha256:
            raise DataError(
                f"{self.path} has changed since its hash was taken; run `normscape manifest` again"
            )
        for key, (left, top) in places.items():
            yield key, to_batch([cut(image, left, top, tile)], params.backbone.input_size)


def _learnable(manifest: pd.DataFrame) -> pd.DataFrame:
    """The rows that the stages of `LEARNING` choose from."""
    return manifest[
        (manifest["split"] == "train") & (manifest["label"] == 0) & manifest["error"].isna()
    ]


def _learned(image: dict[Any, Any], tiling: TilingParams) -> dict[str, tuple[int, int]]:
    grid = Grid.of(image["width"], image["height"], tiling)
    return grid.learned(image["sha256"], tiling.train_tiles)
