"""Reading every image of a data folder once, in parallel: hash, size, statistics, mask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.progress import track

from normscape.data.images import decode_image, decode_mask, image_statistics, read_content
from normscape.data.layouts import Entry
from normscape.errors import DataError

_WORKERS = 2
_BATCH = 64  # images in flight; bounds what an interruption has to wait for
_NAMED = 3


@dataclass(frozen=True)
class ImageFacts:
    """What reading an image file tells; unknown values are None.

    Attributes:
        sha256: Of the file's bytes; None when they cannot be read.
        file_size: Bytes.
        width: Pixels, as shown (EXIF orientation applied).
        height: Pixels, as shown.
        channels: Channels of the file.
        mean_intensity: Of the grey picture in [0, 1].
        std_intensity: Of the grey picture in [0, 1].
        sharpness: Variance of the Laplacian.
        error: Why the image cannot be used.
    """

    sha256: str | None = None
    file_size: int = 0
    width: int = 0
    height: int = 0
    channels: int = 0
    mean_intensity: float | None = None
    std_intensity: float | None = None
    sharpness: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class MaskFacts:
    """What reading a mask file tells: its size and the number of defect pixels, or an error."""

    mask_width: int | None = None
    mask_height: int | None = None
    mask_pixels: int | None = None
    mask_error: str | None = None


def scan(
    root: Path, entries: Sequence[Entry], *, progress: bool = True
) -> Iterator[tuple[Entry, ImageFacts, MaskFacts]]:
    """Yield the facts of every entry, in their order; pixels are dropped as soon as read.

    An image that cannot be decoded is a row with an error, not an exception.

    Args:
        root: The data folder, resolved.
        entries: What the layout lists.
        progress: Whether to show a progress bar on stderr.

    Raises:
        DataError: A path leads out of the data folder.
    """
    refuse_escapes(root, entries)
    remaining = iter(entries)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="scan") as pool:

        def rows() -> Iterator[tuple[Entry, ImageFacts, MaskFacts]]:
            while batch := list(islice(remaining, _BATCH)):
                yield from pool.map(lambda entry: _read(root, entry), batch)

        yield from track(
            rows(),
            description="reading images",
            total=len(entries),
            console=Console(stderr=True),
            disable=not progress,
        )


def refuse_escapes(root: Path, entries: Sequence[Entry]) -> None:
    """Refuse paths that lead out of the data folder, by `..`, from the root, or over a link.

    Raises:
        DataError: Names the first few.
    """
    escaping = []
    for entry in entries:
        for path in (entry.path, entry.mask):
            if path is not None and _escapes(root, path):
                escaping.append(path)
    if escaping:
        more = f" and {len(escaping) - _NAMED} more" if len(escaping) > _NAMED else ""
        raise DataError(
            f"{len(escaping)} paths lead out of the data folder {root}: "
            f"{', '.join(escaping[:_NAMED])}{more}; put the files there themselves (if DVC made "
            "the links: `dvc config cache.type reflink,hardlink,copy && dvc checkout --relink`)"
        )


def image_facts(path: Path) -> ImageFacts:
    """Read one image file completely: hash, full decode, statistics."""
    try:
        content = read_content(path)
    except FileNotFoundError:
        return ImageFacts(error="the file is missing")
    except OSError as error:
        return ImageFacts(error=f"cannot be read: {error.strerror or error}")
    except DataError as error:
        return ImageFacts(error=str(error))
    digest = hashlib.sha256(content).hexdigest()
    try:
        decoded = decode_image(content)
    except DataError as error:
        return ImageFacts(digest, len(content), error=str(error))
    statistics = image_statistics(decoded.image)
    return ImageFacts(
        sha256=digest,
        file_size=len(content),
        width=decoded.image.width,
        height=decoded.image.height,
        channels=decoded.channels,
        mean_intensity=statistics.mean_intensity,
        std_intensity=statistics.std_intensity,
        sharpness=statistics.sharpness,
    )


def mask_facts(path: Path) -> MaskFacts:
    """Read one mask file completely."""
    try:
        mask = decode_mask(read_content(path))
    except FileNotFoundError:
        return MaskFacts(mask_error="the file is missing")
    except OSError as error:
        return MaskFacts(mask_error=f"cannot be read: {error.strerror or error}")
    except DataError as error:
        return MaskFacts(mask_error=str(error))
    height, width = mask.shape
    return MaskFacts(width, height, int(mask.sum()))


def _read(root: Path, entry: Entry) -> tuple[Entry, ImageFacts, MaskFacts]:
    mask = MaskFacts() if entry.mask is None else mask_facts(root / entry.mask)
    return entry, image_facts(root / entry.path), mask


def _escapes(root: Path, path: str) -> bool:
    if ".." in PurePosixPath(path).parts:
        return True
    return not (root / path).resolve().is_relative_to(root)
