"""Measuring a model on test images: for the evaluate stage and for a champion scored again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normscape.calibration.calibrator import Calibration
from normscape.errors import DataError
from normscape.evaluation.metrics import auroc
from normscape.evaluation.pixels import PixelRankings
from normscape.evaluation.ranking import Ranking, Rankings, rank
from normscape.evaluation.refined import final_maps
from normscape.evaluation.results import Evaluation
from normscape.evaluation.summary import summarise
from normscape.features.store import FeatureStore
from normscape.novelty.inspector import Inspector
from normscape.params import Params
from normscape.refine.model import Refiner
from normscape.tiling.images import score_images


def evaluate(  # noqa: PLR0917 - six different things
    model: Inspector,
    calibration: Calibration,
    store: FeatureStore,
    manifest_rows: pd.DataFrame,
    data: Path,
    params: Params,
    refiner: Refiner | None = None,
) -> Evaluation:
    """Score images and measure; maps are streamed, never all in memory (see `PixelRankings`).

    Args:
        model: The inspection model; it never sees a declared category.
        calibration: Its calibration, on the same runtime and precision as the features.
        store: Holds the features of the images that are not cut into tiles.
        manifest_rows: The rows of the manifest to measure on, of any categories.
        data: The folder that their paths are relative to.
        params: `evaluate`, `features.batch_size`, `root` and `state` are used.
        refiner: Of the model; None: no map is refined.

    Returns:
        The evaluation; the same inputs give the same one.

    Raises:
        DataError: There are no images, or a category has masks for some of its defects only.
        NormscapeError: A score is not finite.
    """
    rows = manifest_rows.sort_values("path").reset_index(drop=True)
    if rows.empty:
        raise DataError("evaluation: no test images; expected at least one, check the manifest")
    masked = _categories_with_masks(rows)
    records = rows.to_dict("records")
    items = [(row["sha256"], data / row["path"]) for row in records]
    # Equal images under several paths share one prediction.
    places = rows.groupby("sha256").indices
    found: dict[str, tuple[float, str, float, float]] = {}
    localisation = np.full(len(rows), np.nan)
    with PixelRankings(params.state) as collected:
        scored = score_images(model, store, items, calibration.tiling, params)
        for sha, one in final_maps(scored, refiner, calibration, dict(items)):
            found[sha] = (one.score, one.category, one.distance, one.strangeness)
            for place in places[sha]:
                row = records[place]
                if row["category"] in masked:
                    mask = one.mask(data / row["mask"]) if row["label"] else None
                    collected.add(row["category"], one.map, mask)
                    localisation[place] = _localisation(one.map, mask)
        pixels = Rankings(*collected.rank())
    scores = _decide(_score_table(rows, found).assign(localisation=localisation), calibration)
    images = _rank_images(scores)
    metrics = summarise(scores, images, pixels, params.evaluate)
    return Evaluation(metrics, scores, images, pixels)


def _categories_with_masks(rows: pd.DataFrame) -> set[str]:
    anomalous = rows[rows["label"] == 1]
    masked = set(anomalous.loc[anomalous["mask"].notna(), "category"])
    without = anomalous[anomalous["category"].isin(masked) & anomalous["mask"].isna()]
    if len(without):
        raise DataError(
            f"evaluation: {len(without)} anomalous images have no mask though others of their "
            f"category do, such as {without['path'].iloc[0]}; add their masks or remove all masks "
            "of the category"
        )
    return masked


def _localisation(values: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> float:
    """Pixel AUROC within one image; NaN where it has no defect pixels or no others."""
    if mask is None or not mask.any() or mask.all():
        return float("nan")
    return auroc(rank(values[mask], np.sort(values[~mask])))


def _score_table(
    rows: pd.DataFrame, found: dict[str, tuple[float, str, float, float]]
) -> pd.DataFrame:
    score, category, distance, strangeness = zip(
        *(found[sha] for sha in rows["sha256"]), strict=True
    )
    return rows[["path", "sha256", "category", "label", "defect_type"]].assign(
        score=np.asarray(score, dtype=np.float32),
        predicted_category=pd.array(category, dtype="str"),
        category_distance=np.asarray(distance, dtype=np.float32),
        strangeness=np.asarray(strangeness, dtype=np.float32),
    )


def _decide(scores: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    known = scores["category"].isin(list(calibration.categories)).to_numpy()
    columns: dict[str, Any] = {
        "category_p_value": calibration.category_p_value(scores["strangeness"])
    }
    for name, judged, where in (
        ("declared", scores["category"], known),
        ("predicted", scores["predicted_category"], np.ones(len(scores), dtype=bool)),
    ):
        values = scores.loc[where, "score"].to_numpy()
        categories = judged[where].tolist()
        p_value, threshold = np.full((2, len(scores)), np.nan)
        p_value[where] = calibration.p_value(values, categories)
        threshold[where] = [calibration.threshold(category) for category in categories]
        flagged = pd.array([None] * len(scores), dtype="boolean")
        flagged[where] = calibration.flagged(values, categories)
        columns[f"p_value_{name}"] = p_value
        columns[f"threshold_{name}"] = threshold
        columns[f"flagged_{name}"] = flagged
    return scores.assign(**columns)


def _rank_images(scores: pd.DataFrame) -> Rankings:
    found = {str(name): _rank_group(group) for name, group in scores.groupby("category")}
    return Rankings(
        categories={name: ranking for name, ranking in found.items() if ranking is not None},
        pooled=_rank_group(scores),
    )


def _rank_group(group: pd.DataFrame) -> Ranking | None:
    values, labels = group["score"].to_numpy(), group["label"].to_numpy()
    if not {0, 1} <= set(labels.tolist()):
        return None
    return rank(values[labels == 1], values[labels == 0])
