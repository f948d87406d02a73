"""Anomaly maps as arrays: 16-bit PNG files that hold their own scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from normscape.errors import DataError
from normscape.files import atomic_path
from normscape.scoring.result import ImageScore

_STEPS = 65535
_PREFIX = "normscape:"


@dataclass(frozen=True)
class StoredMap:
    """An anomaly map that was read back.

    Attributes:
        values: `(S, S)` float64, in the unit of the image score; off by at most half a step.
        step: What one grey level of the file is worth.
        score: The image's raw score.
        threshold: The raw score from which it is flagged.
        category: The category whose threshold that is.
        model_version: The version that scored.
    """

    values: NDArray[np.float64]
    step: float
    score: float
    threshold: float
    category: str
    model_version: str


def write_map(target: Path, score: ImageScore, model_version: str) -> None:
    """Write the map as 16-bit grey PNG, atomically.

    The grey levels span the map's own range: value = offset + step * level. Offset, step, score,
    threshold, category and version are text chunks of the file, `normscape:offset` and so on.

    Args:
        target: The file.
        score: What the model says of the image.
        model_version: The version that says it.

    Raises:
        NormscapeError: The folder cannot be written.
    """
    values = score.map.astype(np.float64)
    offset = float(values.min())
    step = (float(values.max()) - offset) / _STEPS
    levels = np.rint((values - offset) / (step or 1.0)).astype(np.uint16)
    texts = {
        "offset": repr(offset),
        "step": repr(step),
        "score": repr(score.score),
        "threshold": repr(score.threshold),
        "category": score.category,
        "model_version": model_version,
    }
    chunks = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        chunks.add_itxt(_PREFIX + name, text)
    with atomic_path(target) as temporary:
        Image.fromarray(levels).save(temporary, format="PNG", pnginfo=chunks, compress_level=1)


def read_map(path: Path) -> StoredMap:
    """Read a map that `write_map` wrote.

    Raises:
        DataError: The file is missing, damaged, or no such map.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            levels = np.asarray(image)
            texts = {
                name.removeprefix(_PREFIX): str(text)
                for name, text in image.info.items()
                if isinstance(name, str) and name.startswith(_PREFIX)
            }
        step = float(texts["step"])
        return StoredMap(
            values=float(texts["offset"]) + step * levels.astype(np.float64),
            step=step,
            score=float(texts["score"]),
            threshold=float(texts["threshold"]),
            category=texts["category"],
            model_version=texts["model_version"],
        )
    except (OSError, KeyError, ValueError, SyntaxError) as error:
        raise DataError(
            f"{path} is not a map of `normscape score --maps array` ({error!r}); score the image "
            "again into another state folder"
        ) from None
