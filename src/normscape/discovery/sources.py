"""Flagged images and their maps: from the inbox of the project, or from files of any other tool."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from normscape.data.images import is_image_name, read_image
from normscape.discovery.describe import Flagged
from normscape.discovery.regions import Map, square
from normscape.errors import DataError, UsageError
from normscape.files import sha256_file
from normscape.params import Params
from normscape.scoring.array import read_map
from normscape.scoring.inbox import Inbox
from normscape.scoring.paths import map_path
from normscape.scoring.record import Record
from normscape.scoring.scorer import Scorer

_SUFFIXES = (".npy", ".png", ".tif", ".tiff")  # of maps; looked for in this order
_OWN = ".map"  # what `normscape score` puts before the suffix of a map
_LEVELS = ("L", "I", "I;16", "I;16B", "F", "1")  # modes of pictures with one number a pixel
_DEFECTIVE = ("waiting", "rejected", "missed_defect")
_LARGEST = 1 << 30


def from_inbox(
    params: Params, category: str | None, scorer: Scorer
) -> tuple[list[Flagged], dict[str, str | None], list[str]]:
    """Images of the inbox that were flagged and that nobody has called good.

    A map is read where scoring has stored it as an array (`score.maps`), else the image is scored
    again. A verdict with a kind of defect (`normscape review reject --defect-type`) is a label.

    Args:
        params: The project.
        category: Only images of this product; all when None.
        scorer: Of the model in production.

    Returns:
        The images, by day; of images that a person has judged the product, None for a good part;
        and a sentence about each image that cannot be used.
    """
    inbox, found, lost = Inbox.of(params), [], []
    reviewed: dict[str, str | None] = {}
    for record in inbox.records():
        product, defect = record.product, _is_defect(record)
        if record.status != "waiting":
            reviewed[record.sha256] = product if defect else None
        if not defect or category not in (None, product):
            continue
        if product is None:
            lost.append(f"{record.source}: flagged, but of no known product; it is not sorted")
            continue
        path = inbox.image(record)
        if path is None:
            continue  # its verdict has put it into the data folder; the catalogue knows it
        try:
            stored = map_path(params, record.model_version, record.day, record.sha256)
            values: NDArray[np.floating] = (
                read_map(stored).values
                if stored.is_file()
                else scorer.score([read_image(path)], [product])[0].map
            )
            found.append(
                Flagged(
                    record.sha256, product, record.day, record.source, _square(values, path),
                    partial(read_image, path), record.defect_type,
                )
            )  # fmt: skip
        except DataError as error:
            lost.append(str(error))
    return found, reviewed, lost


def from_folders(images: Path, maps: Path, category: str | None) -> tuple[list[Flagged], list[str]]:
    """Images and maps of another tool: `[category/]name.png` beside `[category/]name.npy`.

    Maps are NPY (float), TIFF (float, or 8 or 16 bits) or PNG (8 or 16 bits; those of `normscape
    score --maps array` in their own unit), of any size; higher is more anomalous, in one unit a
    category.

    Args:
        images: A folder of images.
        maps: A folder of maps with the same paths but for the suffix.
        category: Of all images that lie directly in the folder; only this one where they lie in
            folders of their category.

    Returns:
        The images, by path; and a sentence about each that cannot be used.

    Raises:
        UsageError: A folder is missing, or no category is known.
    """
    for folder in (images, maps):
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; expected [category/]image files")
    found: dict[tuple[str, str], Flagged] = {}
    lost = []
    for path in _images(images):
        inner = path.relative_to(images)
        name = inner.parts[0] if len(inner.parts) > 1 else category
        if name is None:
            raise UsageError(f"{path} lies in no folder of its category; name it with --category")
        if category not in (None, name):
            continue
        try:
            sha256, when = sha256_file(path), path.stat().st_mtime
            day = datetime.datetime.fromtimestamp(when, datetime.UTC).date().isoformat()
            source = _map_of(path, maps / inner)
            values = _square(read_any_map(source), source)
            one = Flagged(sha256, name, day, str(path), values, partial(read_image, path))
            found.setdefault((name, sha256), one)
        except DataError as error:
            lost.append(str(error))
    return list(found.values()), lost


def read_any_map(path: Path) -> NDArray[np.floating]:
    """An anomaly map `(H, W)` from a file.

    Raises:
        DataError: It cannot be read, or is no map.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("larger than 1 GiB")
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = _picture(path)
        if not isinstance(values, np.ndarray):  # a zip archive of arrays
            raise ValueError("several arrays")
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
            values = values.squeeze(0 if values.shape[0] == 1 else 2)
        if values.ndim != 2 or values.dtype.kind not in "fiub":
            raise ValueError(f"shape {values.shape} of {values.dtype}")
    except (OSError, EOFError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path}: not an anomaly map ({error}); expected one number a pixel as "
            f"{', '.join(_SUFFIXES)}"
        ) from None
    if values.dtype.kind in "iu":  # 16 bits hold what 8 bits hold, finer
        scaled: NDArray[np.float32] = values.astype(np.float32) / np.iinfo(values.dtype).max
        return scaled
    return np.asarray(values, dtype=np.float32)


def _square(values: NDArray[np.floating], path: Path) -> Map:
    try:
        return square(values)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _picture(path: Path) -> NDArray[np.floating]:
    with Image.open(path, formats=("PNG", "TIFF")) as image:
        own = "normscape:offset" in image.info
        if image.mode not in _LEVELS:
            raise ValueError(f"a picture of mode {image.mode}")
        values = np.asarray(image)
    return read_map(path).values if own else values


def _map_of(image: Path, place: Path) -> Path:
    """The map of an image, at its place but for the suffix; never the image itself."""
    for suffix in _SUFFIXES:
        for path in (place.with_suffix(f"{_OWN}{suffix}"), place.with_suffix(suffix)):
            if path != image and path.is_file():
                return path
    raise DataError(
        f"{place.with_suffix('')}.*: no map; expected a file with one of the suffixes "
        f"{', '.join(_SUFFIXES)}"
    )


def _is_defect(record: Record) -> bool:
    flagged = "flagged" in record.reasons or record.status in ("rejected", "missed_defect")
    return flagged and record.status in _DEFECTIVE


def _images(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from sorted(each for each in entry.iterdir() if _is_image(each))
        elif _is_image(entry):
            yield entry


def _is_image(path: Path) -> bool:
    return is_image_name(path.name) and not path.stem.endswith(_OWN)
