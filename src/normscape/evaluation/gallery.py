"""Pictures of what the model got wrong and right, one per category."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from normscape.calibration.calibrator import Calibration
from normscape.data.images import read_image, read_mask
from normscape.detectors.model import InspectionModel
from normscape.evaluation.evaluate import Evaluation, score_images
from normscape.evaluation.style import ALARM, FONT, INK, MUTED, save
from normscape.features.store import FeatureStore
from normscape.params import Params

_HEAT = "inferno"
_CONTOUR = "#00E5FF"
_COLUMN_INCHES, _ROW_INCHES = 1.7, 1.7


@dataclass(frozen=True)
class Example:
    """One column of a gallery.

    Attributes:
        image: `(S, S, 3)` uint8.
        map: `(S, S)` raw anomaly map.
        mask: `(S, S)` or None; True = defect.
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
    model: InspectionModel,
    calibration: Calibration,
    store: FeatureStore,
    manifest_rows: pd.DataFrame,
    params: Params,
    folder: Path,
) -> dict[str, Path]:
    """Draw one picture per category into `folder`: image, map and mask of telling examples.

    Args:
        evaluation: Of these images by this model.
        model: The inspection model, which scores the shown images again for their maps.
        calibration: Sets the colour scale: dark is a typical normal score, the middle is the
            threshold.
        store: Holds the features.
        manifest_rows: The rows that were evaluated.
        params: `evaluate.gallery_images` examples a category, and `evaluate.credits`.
        folder: Is made if it is missing.

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
        maps = {
            sha: one.map
            for sha, one in score_images(
                model, store, chosen["sha256"], params.features.batch_size, progress=False
            )
        }
        examples = [
            _example(row, maps[row["sha256"]], masks[row["path"]], params.data)
            for row in chosen.to_dict("records")
        ]
        judge = (
            name if name in calibration.categories else str(chosen["predicted_category"].iloc[0])
        )
        known = calibration.categories[judge]
        span = max(known.threshold - known.location, float(np.finfo(np.float32).eps))
        figure = draw_gallery(
            examples,
            limits=(known.location, known.location + 2 * span),
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
    width = max(_COLUMN_INCHES * len(examples), 4.5)
    figure = Figure(figsize=(width, _ROW_INCHES * rows + 0.62 + (0.25 if credit else 0)))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    if credit:
        figure.supxlabel(credit, x=0.01, ha="left", fontsize=7.5, color=MUTED, family=FONT)
    grid = figure.subplots(rows, len(examples), squeeze=False)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    previous = ""
    for example, column in zip(examples, grid.T, strict=True):
        column[0].imshow(example.image)
        column[1].imshow(example.map, cmap=_HEAT, vmin=limits[0], vmax=limits[1])
        if example.mask is not None:
            column[2].imshow(example.image)
            column[2].contour(example.mask, levels=[0.5], colors=_CONTOUR, linewidths=1.2)
        elif rows == 3:
            column[2].set_visible(False)
        _caption(column[0], example, heading=example.group if example.group != previous else "")
        previous = example.group
    for label, axes in zip(("image", "anomaly map", "defect's mask"), grid[:, 0], strict=False):
        axes.set_ylabel(label, fontsize=8, color=MUTED, family=FONT)
    return figure


def _caption(axes: Any, example: Example, heading: str) -> None:
    verdict = "flagged" if example.score > example.threshold else "passed"
    relation = ">" if example.score > example.threshold else "≤"
    colour = ALARM if example.wrong else INK
    axes.set_title(
        f"{verdict}: {example.score:.3g} {relation} {example.threshold:.3g}\n{example.defect_type}",
        fontsize=7.5, color=colour, family=FONT, loc="left", linespacing=1.3,
    )  # fmt: skip
    axes.annotate(
        heading or " ", (0, 1), (0, 28), "axes fraction", textcoords="offset points",
        fontsize=8.5, fontweight="bold", color=INK, family=FONT,
    )  # fmt: skip


def _example(
    row: dict[Any, Any], values: NDArray[np.float32], mask: str | None, data: Path
) -> Example:
    size = len(values)
    picture = read_image(data / row["path"]).resize((size, size), Image.Resampling.BOX)
    declared = row["threshold_declared"]
    has_mask = row["label"] == 1 and isinstance(mask, str)
    return Example(
        image=np.asarray(picture),
        map=values,
        mask=read_mask(data / str(mask), size) if has_mask else None,
        group=row["group"],
        defect_type=row["defect_type"],
        score=row["score"],
        threshold=row["threshold_predicted"] if np.isnan(declared) else declared,
        anomalous=row["label"] == 1,
    )
