"""Scoring image files of a data set, cut into tiles or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from normscape.backbones import Backbone, load_identity, select_device
from normscape.data.images import image_size, mask_cells, read_image, read_mask
from normscape.detectors.predict import predict
from normscape.features.extract import Item
from normscape.features.store import FeatureStore
from normscape.novelty.inspector import Inspection, Inspector
from normscape.params import Params
from normscape.progress import progress_bar
from normscape.sections.model import TilingParams
from normscape.tiling.grid import Grid
from normscape.tiling.tiled import judge_tiles


@dataclass(frozen=True)
class Scored:
    """What the model says of one image.

    Attributes:
        score: Raw image score.
        map: `(rows, columns)` raw anomaly map; `(S, S)` of an image that was not cut.
        category: The predicted category.
        distance: Its category distance.
        strangeness: How strange it is to all known products.
        cell: Pixels of the image per cell of the map; None where the image was not cut and the
            map is squeezed with it.
    """

    score: float
    map: NDArray[np.float32]
    category: str
    distance: float
    strangeness: float
    cell: int | None = None

    def mask(self, path: Path) -> NDArray[np.bool_]:
        """The image's mask in the shape of the map.

        Raises:
            DataError: The mask cannot be read or decoded.
        """
        if self.cell is None:
            return read_mask(path, len(self.map))
        return mask_cells(path, self.cell)


def whole(items: Sequence[Item], tiling: TilingParams) -> list[Item]:
    """Those images that are not cut, whose features are therefore kept in the store.

    Raises:
        DataError: An image cannot be read.
    """
    if tiling.tile is None:
        return list(items)
    return [item for item in items if not tiling.cuts(*image_size(item[1]))]


def score_images(
    model: Inspector,
    store: FeatureStore,
    items: Sequence[Item],
    tiling: TilingParams,
    params: Params,
    *,
    progress: bool = True,
) -> Iterator[tuple[str, Scored]]:
    """Yield the hash and the prediction of each distinct image: first those that are not cut.

    The others are decoded and judged tile by tile, one image in memory at a time; features of
    their tiles are not kept.

    Args:
        model: Is moved to the machine's device.
        store: Holds the features of the images that are not cut.
        items: The images.
        tiling: Which images are cut, and how.
        params: `features.batch_size`, `root` and `state` (for the backbone's cache) are used.
        progress: Whether to show a bar on stderr.

    Raises:
        DataError: An image cannot be read.
        UsageError: An image that is not cut has no features in the store.
    """
    files: dict[str, Path] = {}
    for sha256, path in items:
        files.setdefault(sha256, path)
    uncut = [sha256 for sha256, _ in whole(list(files.items()), tiling)]
    shown = progress and bool(uncut)
    for names, batch in predict(model, store, uncut, params.features.batch_size, shown):
        for index, sha256 in enumerate(names):
            yield sha256, _scored(model, cast(Inspection, batch), index, None)
    todo = sorted(files.keys() - set(uncut))
    if not todo:
        return
    backbone = open_backbone(store, params)
    model = model.to(select_device()).eval()
    with progress_bar("score large images", len(todo), progress) as report:
        for done, sha256 in enumerate(todo, start=1):
            yield sha256, _judge_file(files[sha256], model, backbone, tiling, params)
            report(done, "")


def _judge_file(
    path: Path, model: Inspector, backbone: Backbone, tiling: TilingParams, params: Params
) -> Scored:
    # A function of its own, so that its image is gone before the next one is decoded.
    image = read_image(path)
    grid = Grid.of(image.width, image.height, tiling)
    prediction = judge_tiles(image, grid, backbone, model, params.features.batch_size)
    return _scored(model, prediction, 0, grid.cell)


def open_backbone(store: FeatureStore, params: Params) -> Backbone:
    """The very backbone whose features a store holds, ready to extract."""
    identity = store.identity
    return load_identity(
        identity,
        runtime=identity.runtime,
        precision=identity.precision,
        root=params.root,
        cache=params.state / "cache",
    )


def _scored(model: Inspector, prediction: Inspection, index: int, cell: int | None) -> Scored:
    return Scored(
        score=float(prediction.score[index]),
        map=prediction.map[index].numpy(),
        category=model.categories[int(prediction.category[index])],
        distance=float(prediction.category_distance[index]),
        strangeness=float(prediction.strangeness[index]),
        cell=cell,
    )
