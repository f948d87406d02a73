"""The model's judgement of a large image, from its judgements of the tiles."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from normscape.backbones import Backbone
from normscape.features.preprocess import to_batch
from normscape.novelty.inspector import Inspection, Inspector
from normscape.tiling.blend import Blend
from normscape.tiling.grid import CELLS, Grid, cut


@torch.inference_mode()
def judge_tiles(
    image: Image.Image, grid: Grid, backbone: Backbone, model: Inspector, batch_size: int
) -> Inspection:
    """Judge an image by its tiles; the one rule for calibration, evaluation and production.

    The map is the blended one, the score that of `Blend.score` with the model's `top_fraction`.
    The category is that of most tiles, its distance the median of the tiles' distances to theirs,
    and its strangeness the median of theirs: a defect or an empty corner does not change
    what the product is.

    Memory beside the image: one batch of tiles and the map.

    Args:
        image: RGB, of the grid's size.
        grid: Its tiles.
        backbone: The model's.
        model: On the machine's device, in evaluation mode.
        batch_size: Tiles at once; no score depends on it.

    Returns:
        The prediction of B = 1 image, on the CPU; its map is `(1, rows, columns)`.
    """
    device = next(model.parameters()).device
    blend, corners = Blend(grid), list(grid)
    categories: list[Tensor] = []
    distances: list[Tensor] = []
    strange: list[Tensor] = []
    for first in range(0, len(corners), batch_size):
        tiles = [cut(image, *corner, grid.tile) for corner in corners[first : first + batch_size]]
        pixels = to_batch(tiles, backbone.identity.input_size)
        prediction = model([level.to(device) for level in backbone(pixels)]).cpu()
        for number, values in enumerate(cells(prediction.map), start=first):
            blend.add(number, values)
        categories.append(prediction.category)
        distances.append(prediction.category_distance)
        strange.append(prediction.strangeness)
    votes = torch.bincount(torch.cat(categories), minlength=len(model.categories))
    return Inspection(
        score=torch.tensor([blend.score(model.maps.top_fraction)]),
        map=torch.from_numpy(blend.map)[None],
        category=votes.argmax()[None],
        category_distance=torch.cat(distances).quantile(0.5)[None],
        strangeness=torch.cat(strange).quantile(0.5)[None],
    )


def cells(maps: Tensor) -> NDArray[np.float32]:
    """Tile maps `(B, S, S)` as means over cells, `(B, CELLS, CELLS)`."""
    means: NDArray[np.float32] = functional.adaptive_avg_pool2d(maps.float(), CELLS).numpy()
    return means
