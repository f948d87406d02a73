"""The anomalous images whose kinds of defects are looked for, and the detector's maps of them.

The project's detector is trained on each set. Of the real categories the images count in two ways:
those that it flags are sorted, and those that it misses count as wrongly grouped; and, as the
published figures are made, all anomalous images are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import datasets
from bench.ours import OurResult, run_ours
from normscape.data.images import read_image
from normscape.discovery.describe import Described, Flagged, describe, fit_prior
from normscape.discovery.eyes import Eyes
from normscape.discovery.regions import Level, square
from normscape.params import Params
from normscape.sections.production import DiscoveryParams

REAL = ("magnetic_tile", "bottle")
SCALE_SEED, SCALE_CATEGORIES = 2, 24


@dataclass(frozen=True)
class Defects:
    """The anomalous images of one category.

    Attributes:
        images: All of them, then the false alarms; `source` holds the true kind, for the figures.
        flagged: Which of them the detector has flagged.
    """

    images: list[Flagged]
    flagged: NDArray[np.bool_]

    @property
    def truth(self) -> NDArray[np.str_]:
        """The kind of each image; `good` of a false alarm."""
        return np.array([each.source for each in self.images])

    @property
    def anomalous(self) -> list[Flagged]:
        """The images without the false alarms."""
        return [each for each in self.images if each.source != "good"]


def real_sets(params: Params, seed: int) -> dict[str, Defects]:
    """The real categories; the false alarms among the normal test images are flagged with them.

    An image is flagged from the threshold on that `calibrate.target_fpr` gives on the normal images
    of the calibration split.
    """
    rows = datasets.choose(datasets.real(), ("bottle", "magnetic_tile", "biscuit"))
    # Calibration images are scored instead of learned from: thresholds are fitted on them.
    rows["fitting"] = rows["split"] == "calibration"
    scored = rows.assign(split=rows["split"].replace("calibration", "test"))
    result = run_ours(scored, params, seed, name="discovery")
    test = datasets.test_rows(scored)
    found = {}
    for name in REAL:
        own = test[test["category"] == name]
        fitting = own["fitting"].to_numpy(bool)
        p = _p_values(result.scores[own.index], result.scores[own.index[fitting]])
        flagged = p <= params.calibrate.target_fpr
        anomalous = own["label"].to_numpy() == 1
        alarms = ~anomalous & ~fitting & flagged
        chosen = np.concatenate([np.flatnonzero(anomalous), np.flatnonzero(alarms)])
        found[name] = Defects(_images(own.iloc[chosen], result), flagged[chosen])
    return found


def scale_sets(params: Params) -> dict[str, Defects]:
    """The categories of the scale set; all anomalous images, flagged or not."""
    rows = datasets.scale_set(SCALE_CATEGORIES, SCALE_SEED)
    result = run_ours(rows, params, 0, name="discovery scale")
    test = datasets.test_rows(rows)
    found = {}
    for name, own in test[test["label"] == 1].groupby("category"):
        found[str(name)] = Defects(_images(own, result), np.ones(len(own), dtype=bool))
    return found


def described(eyes: Eyes, images: Sequence[Flagged], params: DiscoveryParams) -> list[Described]:
    """What a discovery among these images, and no others, sees of them."""
    level = Level.of([each.map for each in images])
    prior = fit_prior(eyes, images, params)
    return list(describe(eyes, images, level, prior, params, views=params.views))


def _images(rows: pd.DataFrame, result: OurResult) -> list[Flagged]:
    return [
        Flagged(
            sha256, category, "2026-01-01", kind, square(result.maps[index]),
            partial(read_image, Path(path)),
        )
        for index, sha256, category, kind, path in zip(
            rows.index, rows["sha256"], rows["category"], rows["defect_type"], rows["path"],
            strict=True,
        )
    ]  # fmt: skip


def _p_values(scores: NDArray[np.float32], fitting: NDArray[np.float32]) -> NDArray[np.float64]:
    above = len(fitting) - np.searchsorted(np.sort(fitting), scores, side="left")
    return np.asarray((1 + above) / (1 + len(fitting)), dtype=np.float64)
