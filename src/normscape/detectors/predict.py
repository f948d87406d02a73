"""Scoring images whose features are in the store, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from normscape.backbones import select_device
from normscape.detectors.model import InspectionModel, Prediction
from normscape.features.store import FeatureStore
from normscape.progress import progress_bar


def predict(
    model: InspectionModel,
    store: FeatureStore,
    hashes: Sequence[str],
    batch_size: int,
    progress: bool,
) -> Iterator[tuple[list[str], Prediction]]:
    """Score images in the order of `hashes`; memory holds one batch.

    Args:
        model: Moved to the machine's device and put into evaluation mode.
        store: Holds the features of all of them.
        hashes: SHA-256 of the image files.
        batch_size: Images read and scored at once; no score depends on it.
        progress: Whether to show a bar on stderr.

    Yields:
        The hashes of a batch and their prediction, on the CPU.

    Raises:
        UsageError: An image has no features in the store.
    """
    device = select_device()
    model = model.to(device).eval()
    with progress_bar("score", len(hashes), progress) as report:
        for first in range(0, len(hashes), batch_size):
            names = list(hashes[first : first + batch_size])
            with torch.inference_mode():
                prediction = model([level.to(device) for level in store.read(names)])
            yield names, prediction.cpu()
            report(first + len(names), "")
