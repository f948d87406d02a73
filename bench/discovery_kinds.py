"""How well the kinds of defects of a category are found, by every way to sort its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering, KMeans

from bench.discovery_measures import grouping, mean_of
from bench.discovery_sets import Defects, described
from normscape.discovery.describe import Described
from normscape.discovery.eyes import Eyes
from normscape.discovery.group import group
from normscape.sections.production import DiscoveryParams

LABELS = 3
"""Labelled images a kind, where a few labels steer; the figures leave them out."""


def measure_category(
    defects: Defects, eyes: Eyes, params: DiscoveryParams
) -> tuple[dict[str, Any], list[Described]]:
    """Every way to sort one category's images, measured; and what was seen of all anomalous ones.

    `all`: every anomalous image is given. `flagged`: those that the detector has flagged are given,
    with its false alarms, and the other anomalous ones count as wrongly grouped.
    """
    truth, levels = defects.truth, [shape[0] for shape in eyes.backbone.shapes]
    anomalous = truth != "good"
    kinds = len(set(truth[anomalous]))
    result: dict[str, Any] = {
        "kinds": kinds,
        "images": int(anomalous.sum()),
        "flagged_images": int(defects.flagged[anomalous].sum()),
        "false_alarms": int((defects.flagged & ~anomalous).sum()),
    }
    everything: list[Described] = []
    for name, chosen in (("all", anomalous), ("flagged", defects.flagged)):
        if name == "flagged" and np.array_equal(chosen, anomalous):
            result[name] = result["all"]
            continue
        index = np.flatnonzero(chosen)
        own = described(eyes, [defects.images[i] for i in index], params)
        everything = everything or own
        ways = sort(own, levels, kinds, truth[index], params)
        result[name] = {"estimated_kinds": ways.pop("kinds")}
        said = ways.pop("said")
        for way, groups in ways.items():
            labels = np.full(len(truth), -1)
            labels[index] = groups
            counted = anomalous.copy()
            if way == "labelled":
                counted[index[said]] = False
            result[name][way] = grouping(truth[counted], labels[counted])
    return result, everything


def sort(
    seen: Sequence[Described],
    levels: Sequence[int],
    kinds: int,
    truth: NDArray[np.str_],
    params: DiscoveryParams,
) -> dict[str, Any]:
    """The groups of images by every way; -1 for an image whose map shows nothing."""
    given = params.model_copy(update={"types": kinds})
    main = group(seen, levels, given)
    points, shown = main.placed.points, main.placed.shown
    fixed = {
        int(i): number
        for number, kind in enumerate(sorted(set(truth[shown]) - {"good"}))
        for i in np.flatnonzero(truth[shown] == kind)[:LABELS]
    }
    estimated = group(seen, levels, params)
    ways = {
        "given": main.groups,
        "estimated": estimated.groups,
        "kmeans": KMeans(kinds, n_init=10, random_state=0).fit_predict(points),
        "agglomerative": AgglomerativeClustering(kinds, linkage="ward").fit_predict(points),
        "without_surroundings": group(
            seen, levels, given.model_copy(update={"surroundings": 0.0})
        ).groups,
        "labelled": group(seen, levels, given, labels=fixed).groups,
    }
    found: dict[str, Any] = {}
    for way, groups in ways.items():
        labels = np.full(len(seen), -1)
        labels[shown] = groups
        found[way] = labels
    said = np.flatnonzero(shown)[list(fixed)]
    return found | {"kinds": len(estimated.mixture.means), "said": said}


def means(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of all figures over seeds, or over categories."""
    errors = np.array([abs(run["all"]["estimated_kinds"] - run["kinds"]) for run in runs])
    return mean_of(runs) | {
        "error_of_kinds": float(errors.mean()),
        "within_one": float((errors <= 1).mean()),
    }
