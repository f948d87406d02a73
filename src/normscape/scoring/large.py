"""Scoring one large image of a day: decoded when its turn comes, and alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from PIL import Image

from normscape.data.images import decode_image, image_statistics
from normscape.errors import DataError
from normscape.scoring.load import PICTURE_SIDE, LoadedImage
from normscape.scoring.result import ImageScore
from normscape.scoring.scorer import Scorer

DETAIL_SIDE = 384
"""Side in pixels of the part around the peak that is shown as it is."""


def score_large(
    image: LoadedImage, scorer: Scorer, batch_size: int
) -> tuple[LoadedImage, ImageScore | str]:
    """Decode a large image, score it in tiles, and keep of it what its overlay shows.

    Args:
        image: A source that `load` has marked as large.
        scorer: The model.
        batch_size: Tiles at once.

    Returns:
        The image with statistics, small picture and detail, and its score or why it has none.

    Raises:
        StoreError: The object store does not give the image again.
        NormscapeError: The model cannot score.
    """
    try:
        full = _decode(image)
    except DataError as error:
        return image, str(error)
    scale = min(1.0, PICTURE_SIDE / max(full.size))
    small = (max(1, round(full.width * scale)), max(1, round(full.height * scale)))
    picture = full.resize(small, Image.Resampling.BICUBIC, reducing_gap=2.0)
    statistics = image_statistics(full)
    result = scorer.score_large(full, image.source.declared, batch_size=batch_size)
    detail = _around(full, result.peak)
    return replace(image, picture=picture, statistics=statistics, detail=detail), result


def _decode(image: LoadedImage) -> Image.Image:
    content = image.source.content()
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise DataError("has changed while it was being read; score it again")
    return decode_image(content).image


def _around(image: Image.Image, peak: tuple[int, int] | None) -> Image.Image | None:
    if peak is None:
        return None
    left, top = (
        max(0, min(place - DETAIL_SIDE // 2, length - DETAIL_SIDE))
        for place, length in zip(peak, image.size, strict=True)
    )
    right, bottom = min(left + DETAIL_SIDE, image.width), min(top + DETAIL_SIDE, image.height)
    return image.crop((left, top, right, bottom))
