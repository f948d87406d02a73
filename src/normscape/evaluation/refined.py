"""The maps that people will see: refined where the scorer would refine them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from normscape.backbones import select_device
from normscape.calibration.calibrator import Calibration
from normscape.data.images import read_image
from normscape.features.preprocess import to_batch
from normscape.refine.model import Refiner
from normscape.tiling.images import Scored


def final_maps(
    found: Iterable[tuple[str, Scored]],
    refiner: Refiner | None,
    calibration: Calibration,
    files: dict[str, Path],
) -> Iterator[tuple[str, Scored]]:
    """Yield the same images with the maps that the scorer would give.

    Args:
        found: Of `score_images`.
        refiner: Of the model; None: every map stays as it is.
        calibration: Of the model.
        files: Where each image lies, by SHA-256.

    Raises:
        DataError: An image cannot be read.
    """
    if refiner is None:
        yield from found
        return
    device = select_device()
    refiner = refiner.to(device).eval()
    for sha256, one in found:
        p_value = calibration.p_value([one.score], [one.category])
        if one.cell is not None or not refiner.wanted(torch.from_numpy(p_value)).item():
            yield sha256, one
            continue
        pixels = to_batch([read_image(files[sha256])], refiner.config.input_size)
        category = torch.tensor([refiner.config.categories.index(one.category)])
        maps = refiner(
            pixels.to(device), torch.from_numpy(one.map)[None].to(device), category.to(device)
        )
        yield sha256, dataclasses.replace(one, map=maps[0].cpu().numpy())
