"""From a day's folder to decoded, resized images: in the background, in order, a few at a time."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from normscape.data.images import (
    ImageStatistics,
    decode_image,
    image_size,
    image_statistics,
    is_image_name,
)
from normscape.errors import DataError, UsageError
from normscape.features.preprocess import to_batch

PICTURE_SIDE = 512
"""Longest side in pixels of the copy that overlays are drawn on."""

_DECODERS = 4  # each holds one full-size image; more would cost memory and gain little


@dataclass(frozen=True)
class Source:
    """An image file of a day.

    Attributes:
        path: The file.
        name: Its path as it is logged: relative to the folder of `params.yaml`, else absolute.
        declared: The category that the line says it is, or None.
    """

    path: Path
    name: str
    declared: str | None


@dataclass(frozen=True)
class LoadedImage:
    """A source after reading: decoded, or skipped, or with the reason why it cannot be decoded.

    Attributes:
        source: Where it came from.
        sha256: Of the file's bytes; None where they could not be read.
        pixels: `(1, 3, S, S)` float32 in [0, 1], ready for the backbone; None without an image.
        picture: A copy of at most `PICTURE_SIDE` pixels a side; None without an image.
        statistics: Of the full image; None without an image.
        error: Why there is no image; None for good and for skipped ones.
        large: Whether it is scored in tiles: it is then decoded when its turn comes.
        detail: Of a large image that was scored: the surroundings of its peak.
    """

    source: Source
    sha256: str | None
    pixels: torch.Tensor | None = None
    picture: Image.Image | None = None
    statistics: ImageStatistics | None = None
    error: str | None = None
    large: bool = False
    detail: Image.Image | None = None


def logged_name(path: Path, root: Path) -> str:
    """The POSIX path under which an image is logged; `root / name` finds it again."""
    absolute, base = path.absolute(), root.absolute()
    inside = absolute.is_relative_to(base)
    return _text((absolute.relative_to(base) if inside else absolute).as_posix())


def _text(name: str) -> str:
    # File names are bytes; those that are not UTF-8 fit into no table and are written escaped.
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def list_day(folder: Path, root: Path) -> list[Source]:
    """List the images of a day's folder, laid out as `[category/]image`, sorted by path.

    Images directly inside have no declared category. Hidden files and other files are left out.

    Raises:
        UsageError: The folder is missing or holds images deeper than one level.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; expected a day's folder [category/]image")
    sources = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            sources += _list_category(entry, root)
        elif is_image_name(entry.name):
            sources.append(Source(entry, logged_name(entry, root), None))
    return sources


def _list_category(folder: Path, root: Path) -> list[Source]:
    sources = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            raise UsageError(
                f"{entry} is a folder inside a category's folder; expected [category/]image below "
                "one day's folder (to score several days, score each of them)"
            )
        if is_image_name(entry.name):
            sources.append(Source(entry, logged_name(entry, root), _text(folder.name)))
    return sources


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
    threads = min(_DECODERS, os.cpu_count() or 1)
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
        content = source.path.read_bytes()
    except OSError as error:
        return LoadedImage(source, None, error=f"cannot be read: {error.strerror or error}")
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
