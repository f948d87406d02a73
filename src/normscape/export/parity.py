"""Does an artefact say what the bundle's own scorer says? Measured on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from normscape.data.images import is_image_name, read_image
from normscape.data.manifest import read_manifest
from normscape.errors import UsageError
from normscape.export.exported import Exported
from normscape.features.preprocess import to_batch
from normscape.params import Params
from normscape.scoring.scorer import Scorer
from normscape.sections.delivery import ExportParams

MIN_IMAGES = 8
"""Fewer images show nothing."""

_P_VALUE_TOLERANCE = 1e-5
_DISTANCE_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Parity:
    """The largest differences between an artefact and the scorer, over some images.

    Scores and maps are in standard deviations of the normal scores of the category whose threshold
    is used: the unit in which a threshold can be missed.

    Attributes:
        images: Compared.
        categories: That were predicted for them.
        score: Of raw scores.
        map: Of pixels of anomaly maps.
        category_distance: Relative, of distances to the predicted category.
        strangeness: In its own unit, standard deviations of normal images.
        p_value: Between the artefact's p-values and the calibration's for the artefact's own
            scores and distances.
        other_category: Images whose predicted category is another.
        other_decision: Images that one flags and the other does not.
    """

    images: int
    categories: int
    score: float
    map: float
    category_distance: float
    strangeness: float
    p_value: float
    other_category: int
    other_decision: int

    def as_dict(self, limits: ExportParams) -> dict[str, Any]:
        """The figures and the limits they met, as JSON values."""
        return asdict(self) | {
            "score_tolerance": limits.score_tolerance,
            "map_tolerance": limits.map_tolerance,
        }

    def failures(self, limits: ExportParams) -> list[str]:
        """What differs by more than it may, in words; empty when the artefact may be used."""
        deviations = "standard deviations of normal scores"
        limited = (
            ("scores", self.score, limits.score_tolerance, deviations),
            ("maps", self.map, limits.map_tolerance, deviations),
            ("category distances", self.category_distance, _DISTANCE_TOLERANCE, "relative"),
            ("strangeness values", self.strangeness, _DISTANCE_TOLERANCE, "absolute"),
            ("p-values", self.p_value, _P_VALUE_TOLERANCE, "absolute"),
        )
        # Not `found > limit`, which a NaN would pass.
        found = [
            f"{what} differ by up to {value:.3g} ({unit}; at most {limit:g})"
            for what, value, limit, unit in limited
            if not value <= limit
        ]
        if self.other_category:
            found.append(f"{self.other_category} of {self.images} images have another category")
        if self.other_decision:
            found.append(f"{self.other_decision} of {self.images} decisions are the opposite")
        return found


def measure(scorer: Scorer, exported: Exported, paths: Sequence[Path], batch: int) -> Parity:
    """Compare an artefact with the scorer of the bundle.

    Every second image is declared to be of some known category, each in turn, so that thresholds
    and p-values of categories are compared beside those that the images have.

    Args:
        scorer: Of the bundle.
        exported: The artefact.
        paths: Images.
        batch: Images at once.

    Raises:
        DataError: An image cannot be read.
    """
    known, size = exported.known, scorer.identity.input_size
    declared = [known[row // 2 % len(known)] if row % 2 else None for row in range(len(paths))]
    parts = [
        _compare(
            scorer,
            exported,
            [read_image(path) for path in paths[first : first + batch]],
            declared[first : first + batch],
            size,
        )
        for first in range(0, len(paths), batch)
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Parity(
        images=len(paths),
        categories=len(np.unique(found["predicted"])),
        score=float(found["score"].max()),
        map=float(found["map"].max()),
        category_distance=float(found["category_distance"].max()),
        strangeness=float(found["strangeness"].max()),
        p_value=float(found["p_value"].max()),
        other_category=int(found["other_category"].sum()),
        other_decision=int(found["other_decision"].sum()),
    )


def parity_images(params: Params, folder: Path | None, known: Sequence[str]) -> list[Path]:
    """Choose the images to compare on: of a folder, else the test images of the data folder.

    Args:
        params: `export.images` is how many, at most.
        folder: Searched with its sub-folders; None: the manifest's test images, spread over the
            known categories, with and without defects.
        known: Categories of the model.

    Raises:
        UsageError: There are too few.
    """
    count = params.export.images
    if folder is None:
        paths, where = _test_images(params, count, known), f"{params.data} has test images"
    else:
        every = sorted(path for path in folder.rglob("*") if is_image_name(path.name))
        paths = [
            every[row] for row in np.linspace(0, len(every) - 1, min(count, len(every)), dtype=int)
        ]
        where = f"{folder} has images"
    if len(paths) < MIN_IMAGES:
        raise UsageError(
            f"{where}: {len(paths)}; the export is compared with the model on at least "
            f"{MIN_IMAGES} real images, name a folder with more (--images)"
        )
    return paths


def _test_images(params: Params, count: int, known: Sequence[str]) -> list[Path]:
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    rows = manifest[
        (manifest["split"] == "test")
        & manifest["error"].isna()
        & manifest["category"].isin(list(known))
    ].sort_values("path")
    turn = rows.groupby(["category", "label"]).cumcount()
    chosen = rows.assign(turn=turn).sort_values(["turn", "path"]).head(count)
    return [params.data / path for path in chosen["path"]]


def _compare(
    scorer: Scorer,
    exported: Exported,
    images: Sequence[Any],
    declared: Sequence[str | None],
    size: int,
) -> dict[str, Any]:
    pixels = to_batch(images, size)
    expected = scorer.score_batch(pixels, declared)
    found = exported.answers(pixels, declared)
    calibration, known = scorer.calibration, exported.known
    predicted = [known[index] for index in found["category"].tolist()]
    used = [name or guess for name, guess in zip(declared, predicted, strict=True)]
    scales = np.array([calibration.categories[item.category].scale for item in expected])
    distances = np.array([item.category_distance for item in expected])
    strangeness = np.array([item.strangeness for item in expected])
    maps = np.stack([item.map for item in expected])
    p_values = (
        (found["p_value"], calibration.p_value(found["score"], used)),
        (found["p_value_predicted"], calibration.p_value(found["score"], predicted)),
        (found["category_p_value"], calibration.category_p_value(found["strangeness"])),
    )
    return {
        "predicted": np.array(predicted),
        "score": np.abs(found["score"] - np.array([item.score for item in expected])) / scales,
        "map": np.abs(found["map"] - maps).max(axis=(1, 2)) / scales,
        "category_distance": np.abs(found["category_distance"] / distances - 1.0),
        "strangeness": np.abs(found["strangeness"] - strangeness),
        "p_value": np.max([np.abs(ours - theirs) for ours, theirs in p_values], axis=0),
        "other_category": np.array(predicted) != [item.predicted for item in expected],
        "other_decision": found["flagged"] != [item.flagged for item in expected],
    }
