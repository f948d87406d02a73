"""The images behind the verdicts, as thumbnails inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from normscape.data.images import read_image
from normscape.drift import Verdict
from normscape.errors import DataError
from normscape.novelty import Source, UnknownGroup

_PICTURES = 12
_THUMBNAIL = 200

FindImage = Callable[[str, str], Path | None]
"""From the sha256 and the logged path of an image to a file that shows it, or None."""

_TEXTS = {
    Verdict.DRIFT: "From the middle of the window's scores: the drift concerns them all.",
    Verdict.STALE: "From the middle of the window's scores: the new usual look.",
    Verdict.RISING: "The highest scores of the window.",
}


@dataclass(frozen=True)
class Picture:
    """A thumbnail."""

    source: str
    name: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Thumbnails behind one verdict.

    Attributes:
        text: Which images they are.
        pictures: At most twelve.
        hidden: How many more there are.
        nearest: The known categories that an unknown product looks most like, and the share of its
            images that does.
        command: What adds an unknown product to the data once a person has looked at it.
    """

    text: str
    pictures: tuple[Picture, ...]
    hidden: int
    nearest: tuple[tuple[str, float], ...] = ()
    command: str = ""


def category_gallery(verdict: Verdict, rows: pd.DataFrame, find_image: FindImage) -> Gallery | None:
    """Images of a category with a verdict that a person should look at; None for others.

    Args:
        verdict: The category's.
        rows: Its rows of the window.
        find_image: Where the images are.
    """
    if verdict not in _TEXTS or not len(rows):
        return None
    if verdict is Verdict.RISING:
        ordered = rows.sort_values("score", ascending=False)
    else:
        away = (rows["score"] - rows["score"].median()).abs()
        ordered = rows.assign(away=away).sort_values("away")
    return _gallery(_TEXTS[verdict], ordered, find_image)


def unknown_gallery(
    group: UnknownGroup, day: str, window: pd.DataFrame, find_image: FindImage
) -> Gallery:
    """The images of an unknown product, the strangest first; `day` is the judged one."""
    rows = window[window["sha256"].isin(group.hashes)].sort_values("category_p_value")
    found = _gallery("The strangest first.", rows, find_image)
    return replace(found, nearest=group.nearest, command=group.command(day) or "")


def flagged_gallery(rows: pd.DataFrame, find_image: FindImage) -> Gallery:
    """Flagged images, the clearest first."""
    ordered = rows.assign(over=rows["score"] / rows["threshold"])
    text = "Above the threshold of their category, the clearest first."
    return _gallery(text, ordered.sort_values("over", ascending=False), find_image)


def title(group: UnknownGroup) -> str:
    """The heading of an unknown product."""
    if group.source is Source.NAME:
        return f"Unknown product: {group.name}"
    if group.source is Source.SWAPPED:
        return f"Wrong category declared: {group.name}"
    return "Suspected new product"


def _gallery(text: str, rows: pd.DataFrame, find_image: FindImage) -> Gallery:
    pictures: list[Picture] = []
    for row in rows.itertuples():
        if len(pictures) == _PICTURES:
            break
        path = find_image(str(row.sha256), str(row.path))
        source = None if path is None else _thumbnail(path)
        if source is not None:
            declared = row.declared_category if isinstance(row.declared_category, str) else None
            caption = f"{declared or 'like ' + str(row.predicted_category)}, {row.score:.3g}"
            pictures.append(Picture(source, str(row.path), caption))
    return Gallery(text, tuple(pictures), len(rows) - len(pictures))


def _thumbnail(path: Path) -> str | None:
    try:
        image = read_image(path)
    except DataError:
        return None  # moved or replaced since it was scored: the page does without
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
