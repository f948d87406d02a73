"""Decoding images and masks the same way everywhere: manifest, training and scoring."""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from normscape.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Suffixes of image files, in lower case; compared without case."""

MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded (decompression bombs)."""

MAX_BYTES = 1 << 30
"""Larger files are refused before they are read."""

_LABEL_LIMIT = 32  # a mask whose largest value is smaller holds labels 0, 1, 2..., not 0 to 255
_STRIP_ROWS = 512
# Pillow goes by content, not by suffix, and for some formats starts other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_TOO_LARGE = f"more than {MAX_PIXELS // 1_000_000} megapixels; crop or scale it down"

# Pillow warns from 89 megapixels on; the limit above is ours and is an error, not a warning.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class DecodedImage:
    """An image as it is shown: EXIF orientation applied, 8 bits, RGB.

    Attributes:
        image: The picture in mode RGB.
        channels: Channels of the file: 1 grey, 2 grey and alpha, 3 colour (also palette), 4.
    """

    image: Image.Image
    channels: int


@dataclass(frozen=True)
class ImageStatistics:
    """Simple statistics of the grey picture in [0, 1].

    Attributes:
        mean_intensity: Mean.
        std_intensity: Standard deviation.
        sharpness: Variance of the 4-neighbour Laplacian; falls with defocus, 0 below 3 pixels.
    """

    mean_intensity: float
    std_intensity: float
    sharpness: float


def is_image_name(name: str) -> bool:
    """Whether a file name is that of a visible image file."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def read_content(path: Path) -> bytes:
    """The bytes of an image file; never waits for a pipe and never fills the memory.

    Raises:
        OSError: It cannot be opened or read.
        DataError: It is a device, a pipe or a folder, or larger than 1 GiB; without its name.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK)

    with open(path, "rb", opener=opener) as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise DataError("not a plain file but a device, a pipe or a folder")
        check_size(found.st_size)
        return stream.read(MAX_BYTES)


def check_size(size: int) -> None:
    """Refuse files that are too large to be images.

    Raises:
        DataError: It is; without a name.
    """
    if size > MAX_BYTES:
        raise DataError(f"{size} bytes; expected at most {MAX_BYTES}")


def read_image(path: Path) -> Image.Image:
    """Read an image file as it is shown, in mode RGB.

    Grey is repeated over the channels, transparency is laid over black, 16 bits become 8 by one
    fixed scale (65535 to 255), CMYK and palettes are converted, EXIF orientation is applied; of
    several frames the first is read.

    Raises:
        DataError: The file cannot be read, is truncated, no image, or over 100 megapixels.
    """
    try:
        return decode_image(read_content(path)).image
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}; replace or remove the file") from None


def decode_image(content: bytes) -> DecodedImage:
    """Decode all pixels of an image file's bytes.

    Raises:
        DataError: Why the bytes cannot be decoded, without a file name.
    """
    with _decoding():
        image = _load(content)
        channels = 3 if image.mode in ("P", "PA") else len(image.getbands())
        return DecodedImage(_to_rgb(_upright(image)), channels)


def image_size(source: Path | bytes) -> tuple[int, int]:
    """Width and height that the header of an image file states, before any orientation.

    Args:
        source: The file, or its bytes.

    Raises:
        DataError: It cannot be read, or is no image.
    """
    if isinstance(source, bytes):
        with _decoding(), _open(source) as image:
            return image.size
    if not source.is_file():
        raise DataError(f"{source}: not a plain file; restore or remove it")
    try:
        with _decoding(), _open(source) as image:
            return image.size
    except DataError as error:
        raise DataError(f"{source}: {error}; replace or remove the file") from None


def image_statistics(image: Image.Image) -> ImageStatistics:
    """Return mean, standard deviation and sharpness of the grey picture.

    All sums are of integers, so the result does not depend on the machine; memory is bounded by
    strips of rows.
    """
    grey = image.convert("L")
    counts = np.asarray(grey.histogram(), dtype=np.float64)
    levels = np.arange(256) / 255.0
    mean = float(counts @ levels / counts.sum())
    variance = float(counts @ levels**2 / counts.sum()) - mean**2
    return ImageStatistics(mean, max(variance, 0.0) ** 0.5, _laplacian_variance(grey))


def _laplacian_variance(grey: Image.Image) -> float:
    width, height = grey.size
    if width < 3 or height < 3:
        return 0.0
    total = squares = 0
    for top in range(0, height - 2, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height - 2) + 2
        rows = np.asarray(grey.crop((0, top, width, bottom)), dtype=np.int16)
        response = rows[:-2, 1:-1] + rows[2:, 1:-1] + rows[1:-1, :-2] + rows[1:-1, 2:]
        response -= 4 * rows[1:-1, 1:-1]
        total += int(response.sum(dtype=np.int64))
        squares += int(np.square(response, dtype=np.int32).sum(dtype=np.int64))
    count = (width - 2) * (height - 2)
    return max(squares / count - (total / count) ** 2, 0.0) / 255.0**2


def decode_mask(content: bytes) -> NDArray[np.bool_]:
    """Decode a mask file's bytes: bool `(height, width)`, true on the defect.

    The brightest channel counts. Usual masks (0 to 255) are cut at one half; masks of small
    labels (0/1, or 0, 1, 2... as VisA writes them: largest value below 32) and colour palettes
    count everything that is not 0 or black.

    Raises:
        DataError: Why the bytes cannot be decoded, without a file name.
    """
    with _decoding():
        return _defect_pixels(_upright(_load(content)))


def read_mask(path: Path, size: int) -> NDArray[np.bool_]:
    """Read a mask as bool `(size, size)`.

    A cell is true when any pixel of the defect falls into it, so that small defects survive.

    Raises:
        DataError: The mask cannot be read or decoded.
    """
    mask = _mask_pixels(path)
    area = Image.fromarray(mask.astype(np.float32)).resize((size, size), Image.Resampling.BOX)
    return np.asarray(area) > 0


def mask_cells(path: Path, cell: int) -> NDArray[np.bool_]:
    """Read a mask as bool cells of `cell` by `cell` pixels; the last ones may be smaller.

    A cell is true when any pixel of the defect falls into it.

    Raises:
        DataError: The mask cannot be read or decoded.
    """
    mask = _mask_pixels(path)
    for axis, length in enumerate(mask.shape):
        mask = np.logical_or.reduceat(mask, range(0, length, cell), axis=axis)
    return mask


def _mask_pixels(path: Path) -> NDArray[np.bool_]:
    try:
        return decode_mask(read_content(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}; replace the mask") from None


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError("not an image of a supported kind (PNG, JPEG, BMP, TIFF, WebP)") from None
    except Image.DecompressionBombError:
        raise DataError(_TOO_LARGE) from None
    # Pillow's decoders raise nearly every kind of error on damaged bytes.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot be decoded: {reason}") from None


def _load(content: bytes) -> Image.Image:
    if not content:
        raise DataError("the file is empty (0 bytes)")
    image = _open(content)
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{image.width}x{image.height} pixels: {_TOO_LARGE}")
    image.load()
    return image


def _open(source: Path | bytes) -> Image.Image:
    stream = source if isinstance(source, Path) else io.BytesIO(source)
    return Image.open(stream, formats=_FORMATS)


def _upright(image: Image.Image) -> Image.Image:
    # Damaged EXIF: the pixels are good, only their orientation is not known.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)  # else it copies even upright images
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        scaled = (_sixteen_bits(image).astype(np.uint32) * 255 + 32767) // 65535
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError("32-bit floating point pixels have no fixed scale; save 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _defect_pixels(image: Image.Image) -> NDArray[np.bool_]:
    if image.mode == "1":
        return np.asarray(image, dtype=np.bool_)
    if image.mode == "P":
        colours = np.asarray(image.convert("RGB"))
        grey_palette = bool((colours == colours[..., :1]).all())
        values = colours.max(axis=2)
        return _above_half(values, 255) if grey_palette else np.asarray(values > 0)
    if image.mode.startswith("I"):
        return _above_half(_sixteen_bits(image), 65535)
    return _above_half(np.asarray(_to_rgb(image)).max(axis=2), 255)


def _sixteen_bits(image: Image.Image) -> NDArray[np.uint16]:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise DataError("32-bit pixels outside 0 to 65535; save 8 or 16 bits")
    return values.astype(np.uint16)


def _above_half(values: NDArray[np.uint8] | NDArray[np.uint16], top: int) -> NDArray[np.bool_]:
    labels = values.max() < _LABEL_LIMIT
    return np.asarray(values > (0 if labels else top // 2))
