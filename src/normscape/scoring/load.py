"""From sources to decoded, resized images: in the background, in order, a few at a time."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image

from normscape.data.images import ImageStatistics, decode_image, image_size, image_statistics
from normscape.errors import DataError
from normscape.features.preprocess import to_batch
from normscape.scoring.source import ObjectSource, Source
from normscape.storage.client import StoreError

PICTURE_SIDE = 512
"""Longest side in pixels of the copy that overlays are drawn on."""

_DECODERS = 4  # each holds one full-size image; more would cost memory and gain little
_FETCHERS = 8  # an object store answers late; most of these wait for it


@dataclass(frozen=True)
class LoadedImage:
    """A source after reading: decoded, skipped, postponed, or with the reason why it is bad.

    Attributes:
        source: Where it came from.
        sha256: Of the file's bytes; None where they could not be read.
        pixels: `(1, 3, S, S)` float32 in [0, 1], ready for the backbone; None without an image.
        picture: A copy of at most `PICTURE_SIDE` pixels a side; None without an image.
        statistics: Of the full image; None without an image.
        error: Why there is no image; None for good and for skipped ones.
        postponed: Why it could not be had now, through no fault of its own; None otherwise.
        large: Whether it is scored in tiles: it is then decoded when its turn comes.
        detail: Of a large image that was scored: the surroundings of its peak.
    """

    source: Source
    sha256: str | None
    pixels: torch.Tensor | None = None
    picture: Image.Image | None = None
    statistics: ImageStatistics | None = None
    error: str | None = None
    postponed: str | None = None
    large: bool = False
    detail: Image.Image | None = None


def load(
    sources: Sequence[Source],
    size: int,
    skip: Callable[[str], bool],
    ahead: int,
    cuts: Callable[[int, int], bool] | None = None,
) -> Iterator[LoadedImage]:
    """Read images in the background and yield them in the order of `sources`.

    Args:
        sources: What to read.
        size: Pixels per side of what the backbone takes.
        skip: Says of a SHA-256 whether the image need not be decoded.
        ahead: How many images may be ready before they are asked for; bounds the memory.
        cuts: Says of a width and height whether the image is scored in tiles; None: none is.
    """
    remote = any(isinstance(source, ObjectSource) for source in sources)
    threads = _FETCHERS if remote else min(_DECODERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[Future[LoadedImage]] = deque()
        try:
            for source in sources:
                waiting.append(pool.submit(_load_one, source, size, skip, cuts))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _load_one(
    source: Source,
    size: int,
    skip: Callable[[str], bool],
    cuts: Callable[[int, int], bool] | None,
) -> LoadedImage:
    try:
        content = source.content()
    except DataError as error:
        return LoadedImage(source, None, error=str(error))
    except StoreError as error:
        return LoadedImage(source, None, postponed=str(error))
    sha256 = hashlib.sha256(content).hexdigest()
    if skip(sha256):
        return LoadedImage(source, sha256)
    try:
        if cuts is not None and cuts(*image_size(content)):
            return LoadedImage(source, sha256, large=True)
        image = decode_image(content).image
    except DataError as error:
        return LoadedImage(source, sha256, error=str(error))
    statistics = image_statistics(image)
    pixels = to_batch([image], size)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return LoadedImage(source, sha256, pixels, image, statistics)
