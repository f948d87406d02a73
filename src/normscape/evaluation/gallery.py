"""Pictures of what the model got wrong and right, one per category."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from normscape.calibration.calibrator import Calibration
from normscape.data.images import read_image
from normscape.evaluation.refined import final_maps
from normscape.evaluation.results import Evaluation
from normscape.evaluation.style import ALARM, FONT, INK, MUTED, save
from normscape.features.store import FeatureStore
from normscape.novelty.inspector import Inspector
from normscape.params import Params
from normscape.refine.model import Refiner
from normscape.tiling.images import Scored, score_images

_HEAT = "inferno"
_CONTOUR = "#00E5FF"
_ORANGE = 0.62  # where on the colour scale the threshold lies
_SIDE, _GAP, _LEFT, _HEAD, _FOOT = 1.6, 0.06, 0.22, 0.62, 0.3  # inches


@dataclass(frozen=True)
class Example:
    """One column of a gallery.

    Attributes:
        image: `(H, W, 3)` uint8.
        map: `(H, W)` raw anomaly map.
        mask: `(H, W)` or None; True = defect.
        group: Why it is shown: "lowest-scored defects", "highest-scored normals" or "typical".
        defect_type: "good" for a normal image.
        score: Raw image score.
        threshold: Of its declared category if that was calibrated, else of the predicted one.
        anomalous: Its label.
    """

    image: NDArray[np.uint8]
    map: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    group: str
    defect_type: str
    score: float
    threshold: float
    anomalous: bool

    @property
    def wrong(self) -> bool:
        """Whether the decision differs from the label."""
        return (self.score > self.threshold) != self.anomalous


def draw_galleries(  # noqa: PLR0917 - six different things
    evaluation: Evaluation,
    model: Inspector,
    calibration: Calibration,
    store: FeatureStore,
    manifest_rows: pd.DataFrame,
    params: Params,
    folder: Path,
    refiner: Refiner | None = None,
) -> dict[str, Path]:
    """Draw one picture per category into `folder`: image, map and mask of telling examples.

    Args:
        evaluation: Of these images by this model.
        model: The inspection model, which scores the shown images again for their maps.
        calibration: Sets the colour scale: orange is the threshold of the image score.
        store: Holds the features.
        manifest_rows: The rows that were evaluated.
        params: `evaluate.gallery_images` examples a category, and `evaluate.credits`.
        folder: Is made if it is missing.
        refiner: Of the model; None: no map is refined.

    Returns:
        The picture of each category.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not params.evaluate.gallery_images:
        return {}
    masks = manifest_rows.drop_duplicates("path").set_index("path")["mask"]
    pictures = {}
    for key, scores in evaluation.scores.groupby("category"):
        name = str(key)
        chosen = choose_examples(scores, params.evaluate.gallery_images)
        items = [
            (sha, params.data / path)
            for sha, path in zip(chosen["sha256"], chosen["path"], strict=True)
        ]
        found = score_images(model, store, items, calibration.tiling, params, progress=False)
        scored = dict(final_maps(found, refiner, calibration, dict(items)))
        examples = [
            _example(row, scored[row["sha256"]], masks[row["path"]], params.data)
            for row in chosen.to_dict("records")
        ]
        judge = name if name in calibration.categories else chosen["predicted_category"].iloc[0]
        figure = draw_gallery(
            examples,
            limits=_colour_limits(
                (one.map for one in scored.values()), calibration.threshold(str(judge))
            ),
            credit=params.evaluate.credits.get(name, ""),
        )
        pictures[name] = folder / f"{name}.png"
        save(figure, pictures[name], dpi=100)
    return pictures


def choose_examples(scores: pd.DataFrame, count: int) -> pd.DataFrame:
    """Choose what to show of one category.

    A third each: the anomalous images with the lowest scores, the normal images with the highest
    scores, and anomalous images nearest to the median anomalous score. Where one kind has too few
    images, the others fill up.

    Args:
        scores: Rows of `Evaluation.scores` of one category.
        count: At most this many.

    Returns:
        The chosen rows with a column `group`.
    """
    anomalous = scores[scores["label"] == 1].sort_values(["score", "path"])
    normal = scores[scores["label"] == 0].sort_values(["score", "path"], ascending=[False, True])
    share = math.ceil(count / 3)
    nearest = max(count - 2 * share, 0)
    misses = anomalous.head(max(count - min(share, len(normal)) - nearest, 1))
    rest = anomalous.iloc[len(misses) :]
    distance = (rest["score"] - anomalous["score"].median()).abs()
    typical = rest.loc[distance.sort_values(kind="stable").index[:nearest]]
    alarms = normal.head(count - len(misses) - len(typical))
    return pd.concat(
        [
            misses.assign(group="lowest-scored defects"),
            alarms.assign(group="highest-scored normals"),
            typical.sort_values(["score", "path"]).assign(group="typical defects"),
        ]
    )


def draw_gallery(examples: list[Example], limits: tuple[float, float], credit: str) -> Figure:
    """Draw examples as columns: the image, its map, and where there are masks the defect's outline.

    Args:
        examples: At least one; neighbours of one group share a heading.
        limits: Raw map values at both ends of the colour scale.
        credit: A line under the picture; empty for none.
    """
    rows = 3 if any(example.mask is not None for example in examples) else 2
    # A credit must fit under a single column, too.
    width = max(_LEFT + len(examples) * (_SIDE + _GAP), 4.5)
    height = _HEAD + rows * (_SIDE + _GAP) + (_FOOT if credit else _GAP)
    figure = Figure(figsize=(width, height))

    def axes_at(row: int, column: int) -> Axes:
        left = _LEFT + column * (_SIDE + _GAP)
        bottom = height - _HEAD - (row + 1) * _SIDE - row * _GAP
        box = (left / width, bottom / height, _SIDE / width, _SIDE / height)
        axes: Axes = figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    previous = ""
    for column, example in enumerate(examples):
        top = axes_at(0, column)
        top.imshow(example.image)
        _caption(top, example, heading=example.group if example.group != previous else "")
        axes_at(1, column).imshow(example.map, cmap=_HEAT, vmin=limits[0], vmax=limits[1])
        if example.mask is not None:
            outlined = axes_at(2, column)
            outlined.imshow(example.image)
            outlined.contour(example.mask, levels=[0.5], colors=_CONTOUR, linewidths=1.2)
        previous = example.group
    for row, label in enumerate(("image", "anomaly map", "defect's mask")[:rows]):
        middle = height - _HEAD - row * (_SIDE + _GAP) - _SIDE / 2
        figure.text(
            0.1 / width, middle / height, label,
            rotation=90, va="center", ha="center", fontsize=8, color=MUTED, family=FONT,
        )  # fmt: skip
    if credit:
        place = (_LEFT / width, 0.1 / height)
        figure.text(*place, credit, fontsize=7.5, color=MUTED, family=FONT)
    return figure


def _caption(axes: Axes, example: Example, heading: str) -> None:
    flagged = example.score > example.threshold
    text = f"{example.score:.4g} {'>' if flagged else '≤'} {example.threshold:.4g}"
    axes.set_title(
        f"{'flagged' if flagged else 'passed'}: {text}\n{example.defect_type}",
        fontsize=7.5, color=ALARM if example.wrong else INK, family=FONT, loc="left",
        linespacing=1.3, pad=4,
    )  # fmt: skip
    axes.annotate(
        heading, (0, 1), (0, 31), "axes fraction", textcoords="offset points",
        fontsize=8.5, fontweight="bold", color=INK, family=FONT,
    )  # fmt: skip


def _colour_limits(maps: Iterable[NDArray[np.float32]], threshold: float) -> tuple[float, float]:
    """From the typical pixel of the maps up, so that the threshold has the colour orange."""
    low = min(float(np.median(np.concatenate([values.ravel() for values in maps]))), threshold)
    span = max(threshold - low, float(np.finfo(np.float32).eps))
    return low, low + span / _ORANGE


def _example(row: dict[Any, Any], one: Scored, mask: str | None, data: Path) -> Example:
    height, width = one.map.shape
    picture = read_image(data / row["path"]).resize((width, height), Image.Resampling.BOX)
    declared = row["threshold_declared"]
    has_mask = row["label"] == 1 and isinstance(mask, str)
    return Example(
        image=np.asarray(picture),
        map=one.map,
        mask=one.mask(data / str(mask)) if has_mask else None,
        group=row["group"],
        defect_type=row["defect_type"],
        score=row["score"],
        threshold=row["threshold_predicted"] if np.isnan(declared) else declared,
        anomalous=row["label"] == 1,
    )
