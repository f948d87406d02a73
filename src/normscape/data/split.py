"""Which images are trained on, held out for calibration, or tested: by hash, never by rank.

An image's place follows from the hash of its category and group alone, so adding or removing
images moves no other one. The single exception is stated: the share of a category that is held
out doubles while the category has too few calibration images.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Split = Literal["train", "calibration", "test"]

TEST_PERCENT = 20
"""Share of the normal images that become test images where the data set declares none."""

MAX_CALIBRATION_PERCENT = 50
"""Bound of the top-up: never hold out more than half of a category's buckets."""

_BUCKETS = 100


@dataclass(frozen=True)
class Candidate:
    """What the split of one image depends on.

    Attributes:
        category: The product category.
        group: What stays together; see `group_of`.
        side: The side the data set declares, or None.
        label: 0 normal, 1 anomalous.
    """

    category: str
    group: str
    side: Literal["train", "test"] | None
    label: int


def bucket(text: str) -> int:
    """Return SHA-256 of `text` modulo 100."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % _BUCKETS


def group_of(path: str, sha256: str | None, pattern: str | None, declared: str | None) -> str:
    """Return the group of an image: what must never be spread over two splits.

    The file name's match of `pattern` comes first, then what the layout declares, then the image
    itself: its SHA-256, so that copies of one picture under several names stay together.
    """
    match = re.search(pattern, PurePosixPath(path).stem) if pattern else None
    return (match["group"] if match else None) or declared or sha256 or path


def assign_splits(
    candidates: Sequence[Candidate], calibration_percent: int, calibration_min_images: int
) -> list[Split]:
    """Return the split of every candidate, in their order.

    Declared test images and all anomalous ones of undeclared side are test. Normals of
    undeclared side are test when `bucket` of category, group and the word test is below
    `TEST_PERCENT`. Training normals are calibration when `bucket` of category and group is below
    the category's bound (`calibration_bounds`).
    """
    train = [_in_train(candidate) for candidate in candidates]
    eligible = [
        candidate
        for candidate, trained in zip(candidates, train, strict=True)
        if trained and candidate.label == 0
    ]
    bounds = calibration_bounds(eligible, calibration_percent, calibration_min_images)
    return [
        _split(candidate, trained, bounds)
        for candidate, trained in zip(candidates, train, strict=True)
    ]


def calibration_bounds(
    normals: Iterable[Candidate], percent: int, min_images: int
) -> dict[str, int]:
    """Return per category the bucket below which a training normal is held out.

    It is `percent`, doubled (to at most 50) while fewer than `min_images` images are below it.
    """
    buckets: dict[str, list[int]] = defaultdict(list)
    for candidate in normals:
        buckets[candidate.category].append(_bucket_of(candidate))
    bounds = {}
    for category, values in buckets.items():
        bound = percent
        while bound < MAX_CALIBRATION_PERCENT and sum(v < bound for v in values) < min_images:
            bound = min(2 * bound, MAX_CALIBRATION_PERCENT)
        bounds[category] = bound
    return bounds


def _split(candidate: Candidate, trained: bool, bounds: dict[str, int]) -> Split:
    if not trained:
        return "test"
    if candidate.label == 0 and _bucket_of(candidate) < bounds[candidate.category]:
        return "calibration"
    return "train"


def _in_train(candidate: Candidate) -> bool:
    if candidate.side is not None:
        return candidate.side == "train"
    key = f"test\0{candidate.category}\0{candidate.group}"
    return candidate.label == 0 and bucket(key) >= TEST_PERCENT


def _bucket_of(candidate: Candidate) -> int:
    return bucket(f"{candidate.category}\0{candidate.group}")
