"""The images a model is trained on, and their tokens as a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from normscape.errors import DataError
from normscape.features.store import FeatureStore
from normscape.features.transform import TokenTransform

if TYPE_CHECKING:
    import pandas as pd

_BUCKETS = 100


@dataclass(frozen=True)
class TrainingImages:
    """Normal images of the train split, each content once, in the order of their paths.

    Attributes:
        hashes: SHA-256 of the files.
        paths: Relative to the data folder.
        labels: Index of the category of each.
        categories: Names, sorted.
    """

    hashes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.hashes)

    def items(self, data: Path) -> list[tuple[str, Path]]:
        """What `ensure_features` takes."""
        return [(sha, data / path) for sha, path in zip(self.hashes, self.paths, strict=True)]

    def _subset(self, rows: Sequence[int]) -> TrainingImages:
        return TrainingImages(
            tuple(self.hashes[row] for row in rows),
            tuple(self.paths[row] for row in rows),
            tuple(self.labels[row] for row in rows),
            self.categories,
        )


def training_images(
    manifest: pd.DataFrame, hold_out_percent: int
) -> tuple[TrainingImages, TrainingImages]:
    """The images to learn from, and those held out for early stopping and for scales.

    A group is held out by the hash of its category and name, so adding images moves none. A
    category that would be left with less than half of its images holds out none.

    Raises:
        DataError: There are no images to learn from.
    """
    rows = manifest[
        (manifest["split"] == "train") & (manifest["label"] == 0) & manifest["error"].isna()
    ]
    rows = rows.drop_duplicates("sha256").sort_values("path")
    if rows.empty:
        raise DataError(
            "the manifest has no readable normal image in its train split; expected at least two "
            "per category, add images under <category>/train/good and run the manifest stage again"
        )
    categories = tuple(sorted(rows["category"].unique()))
    held = [
        _bucket(f"hold-out/{category}/{group}") < hold_out_percent
        for category, group in zip(rows["category"], rows["group"], strict=True)
    ]
    shares = rows.assign(held=held).groupby("category")["held"].mean()
    held = [out and shares[c] <= 0.5 for out, c in zip(held, rows["category"], strict=True)]
    everything = TrainingImages(
        tuple(rows["sha256"]),
        tuple(rows["path"]),
        tuple(categories.index(category) for category in rows["category"]),
        categories,
    )
    learn = [row for row, out in enumerate(held) if not out]
    stop = [row for row, out in enumerate(held) if out]
    return everything._subset(learn), everything._subset(stop)


def stream_maps(
    store: FeatureStore, hashes: Sequence[str], batch_size: int
) -> Iterator[list[Tensor]]:
    """Feature maps of the images, batch by batch."""
    for first in range(0, len(hashes), batch_size):
        yield store.read(hashes[first : first + batch_size])


@torch.no_grad()
def stream_tokens(
    store: FeatureStore,
    transform: TokenTransform,
    hashes: Sequence[str],
    *,
    batch_size: int,
    device: torch.device,
) -> Iterator[Tensor]:
    """Tokens `(B, N, D)` of the images, batch by batch."""
    for maps in stream_maps(store, hashes, batch_size):
        yield transform([level.to(device) for level in maps])


def _bucket(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _BUCKETS
