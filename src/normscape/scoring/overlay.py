"""The picture of one scored image: what was seen beside where it departs from normal."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from normscape.files import atomic_path
from normscape.scoring.result import ImageScore

_COLOURS = "inferno"
_HEIGHT = 384  # of the two pictures, in pixels
_MAX_ASPECT = 2.0
_RING = 12  # radius of the mark around the peak of a large image
_MARGIN = 12
_CAPTION = 58
_BAR = 14
_SCALE_WIDTH = 92
_TOP = 3.0  # the end of the colour scale, in thresholds
_FAINT, _FULL = 0.5, 1.5  # where the heat begins to show, and where it covers most
_OPACITY = 0.72
_GREY = 0.61  # how much colour the ground loses, so that the heat's own is told apart
_DIMMED = [round(0.9 * level) for level in range(256)] * 3
_PAPER, _INK, _MUTED = (250, 250, 248), (28, 28, 30), (110, 110, 115)
_ALARM, _CALM, _CONTOUR = (190, 30, 45), (40, 120, 70), (80, 255, 255)


def relative_map(
    map_: NDArray[np.float32], location: float, threshold: float
) -> NDArray[np.float32]:
    """The map in units in which every category is alike.

    Args:
        map_: `(S, S)` anomaly map.
        location: Typical image score of the category's normal images.
        threshold: Image score from which the category's images are flagged.

    Returns:
        `(S, S)`: 0 where the map is like a normal image's peak, 1 at the threshold.
    """
    span = threshold - location
    if span <= 0:
        span = max(abs(threshold), 1e-6)
    scaled: NDArray[np.float32] = ((map_ - location) / span).astype(np.float32)
    return scaled


def draw_overlay(
    picture: Image.Image, score: ImageScore, location: float, detail: Image.Image | None = None
) -> Image.Image:
    """Draw image, heat overlay with the threshold's contour, colour scale and caption.

    Of a large image, a ring shows where its map is highest.

    Args:
        picture: The image, RGB, any size.
        score: What the model says of it.
        location: Typical image score of normal images of `score.category`.
        detail: The surroundings of the peak of a large image, drawn beside the others; or None.

    Returns:
        An RGB picture of about 900 x 480 pixels for a square image, 1300 x 480 with a detail.
    """
    aspect = min(max(picture.width / picture.height, 1 / _MAX_ASPECT), _MAX_ASPECT)
    size = (round(_HEIGHT * aspect), _HEIGHT)
    plain = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    heat = _heat(plain, relative_map(score.map, location, score.threshold))
    if score.peak is not None:
        _ring(heat, score.map)
    width = 2 * size[0] + 3 * _MARGIN + _SCALE_WIDTH
    if detail is not None:
        width += _HEIGHT + _MARGIN
    canvas = Image.new("RGB", (width, _HEIGHT + _CAPTION + 2 * _MARGIN), _PAPER)
    draw = ImageDraw.Draw(canvas)
    _caption(draw, score, width)
    top = _CAPTION + _MARGIN
    canvas.paste(plain, (_MARGIN, top))
    canvas.paste(heat, (2 * _MARGIN + size[0], top))
    _scale(canvas, (3 * _MARGIN + 2 * size[0], top), score.threshold, location)
    if detail is not None:
        fitted = ImageOps.contain(detail, (_HEIGHT, _HEIGHT))
        canvas.paste(fitted, (width - _MARGIN - _HEIGHT, top))
    return canvas


def write_overlay(
    target: Path,
    picture: Image.Image,
    score: ImageScore,
    location: float,
    detail: Image.Image | None = None,
) -> None:
    """Draw the overlay and write it as PNG, atomically."""
    canvas = draw_overlay(picture, score, location, detail)
    with atomic_path(target) as temporary:
        # Level 6 takes twice as long and saves nothing on photographs.
        canvas.save(temporary, format="PNG", compress_level=1)


def _heat(plain: Image.Image, relative: NDArray[np.float32]) -> Image.Image:
    for axis, length in enumerate((plain.height, plain.width)):
        # The highest value of several stays: a mean would hide the peak of a small defect.
        step = max(1, relative.shape[axis] // length)
        starts = range(0, relative.shape[axis], step)
        relative = np.maximum.reduceat(relative, starts, axis=axis)
    scaled = Image.fromarray(relative).resize(plain.size, Image.Resampling.BICUBIC)
    values = np.asarray(scaled, dtype=np.float32)
    grey = plain.convert("L").convert("RGB")
    pixels = np.array(Image.blend(plain, grey, _GREY).point(_DIMMED))
    line = _contour(values, 1.0)
    # Most of a picture is normal and stays as it is.
    touched = (values > _FAINT) | (line > 0)
    heat, line = values[touched], line[touched][:, None]
    alpha = np.clip((heat - _FAINT) / (_FULL - _FAINT), 0, 1)
    alpha = (_OPACITY * alpha * alpha * (3 - 2 * alpha))[:, None]
    blended = pixels[touched] * (1 - alpha) + _colours(heat / _TOP) * alpha
    blended = blended * (1 - line) + np.asarray(_CONTOUR, dtype=np.float32) * line
    pixels[touched] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def _ring(heat: Image.Image, map_: NDArray[np.float32]) -> None:
    peak = np.unravel_index(map_.argmax(), map_.shape)
    y, x = (
        (int(index) + 0.5) / cells * length
        for index, cells, length in zip(peak, map_.shape, (heat.height, heat.width), strict=True)
    )
    ImageDraw.Draw(heat).ellipse(
        (x - _RING, y - _RING, x + _RING, y + _RING), outline=_CONTOUR, width=2
    )


def _contour(values: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """A smooth line where `values` crosses `level`: opacity by the distance in pixels to it."""
    rows, columns = np.gradient(values)
    slope = np.maximum(np.sqrt(rows * rows + columns * columns), 1e-6)
    line: NDArray[np.float32] = np.clip(1.6 - np.abs(values - level) / slope, 0, 1)
    return line.astype(np.float32)


def _colours(share: NDArray[np.float32]) -> NDArray[np.float32]:
    index = np.clip(np.rint(share * 255), 0, 255).astype(np.intp)
    return _table()[index]


@lru_cache(maxsize=1)
def _table() -> NDArray[np.float32]:
    colours = matplotlib.colormaps[_COLOURS](np.linspace(0.12, 1.0, 256))[:, :3]
    return np.asarray(colours * 255, dtype=np.float32)


@lru_cache(maxsize=4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _caption(draw: ImageDraw.ImageDraw, score: ImageScore, width: int) -> None:
    colour = _ALARM if score.flagged else _CALM
    verdict = "FLAGGED" if score.flagged else "normal"
    draw.text((_MARGIN, 10), verdict, fill=colour, font=_font(20))
    left = _MARGIN + draw.textlength(verdict, font=_font(20)) + 14
    figures = f"score {score.score:.3g}   threshold {score.threshold:.3g}   p {score.p_value:.2g}"
    draw.text((left, 13), figures, fill=_INK, font=_font(16))
    declared = score.declared if score.declared is not None else "none"
    second = (
        f"declared {declared}   predicted {score.predicted} "
        f"(category p {score.category_p_value:.2g})"
    )
    if score.peak is not None:
        second = f"peak at x {score.peak[0]}, y {score.peak[1]}   {second}"
    draw.text((_MARGIN, 38), _shorten(draw, second, width), fill=_MUTED, font=_font(14))


def _shorten(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    room = width - 2 * _MARGIN
    if draw.textlength(text, font=_font(14)) <= room:
        return text
    while text and draw.textlength(text + "…", font=_font(14)) > room:
        text = text[:-1]
    return text + "…"


def _scale(canvas: Image.Image, corner: tuple[int, int], threshold: float, location: float) -> None:
    left, top = corner
    draw = ImageDraw.Draw(canvas)
    levels = np.linspace(_TOP, 0, _HEIGHT, dtype=np.float32)[:, None].repeat(_BAR, axis=1)
    bar = _colours(levels / _TOP).astype(np.uint8)
    canvas.paste(Image.fromarray(bar), (left, top))
    labels = {0.0: "normal", 1.0: "threshold", 2.0: "", 3.0: ""}
    for level, label in labels.items():
        row = top + round((1 - level / _TOP) * (_HEIGHT - 1))
        value = location + level * (threshold - location)
        colour = _CONTOUR if level == 1.0 else _INK
        draw.line((left, row, left + _BAR - 1, row), fill=colour, width=2)
        text_top = min(max(row - 8, top), top + _HEIGHT - 30)
        draw.text((left + _BAR + 5, text_top), f"{value:.3g}", fill=_INK, font=_font(13))
        if label:
            draw.text((left + _BAR + 5, text_top + 14), label, fill=_MUTED, font=_font(11))
