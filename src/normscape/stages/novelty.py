"""Stage `novelty`: learn what all known products look like as wholes, to tell unknown ones."""

from __future__ import annotations

import torch

from normscape.backbones.runtime import available_cores
from normscape.data.manifest import read_manifest
from normscape.features.extract import ensure_features
from normscape.features.store import FeatureStore
from normscape.files import atomic_folder, write_json
from normscape.novelty.model import Novelty
from normscape.novelty.pooling import SIDE, RegionPooling
from normscape.novelty.train import Sample, fit_novelty
from normscape.params import Params
from normscape.progress import progress_bar
from normscape.prototypes.training import TrainingImages, stream_maps, training_images
from normscape.training.loop import Progress


def run(params: Params) -> None:
    """Write `artifacts/novelty`: the novelty model and `training.json`.

    It trains in seconds to minutes, so it keeps no checkpoints.

    Raises:
        DataError: There are no training images, or one cannot be read.
        UsageError: The manifest is missing, or parameters do not fit.
        NormscapeError: Something cannot be read or written.
    """
    torch.set_num_threads(available_cores())
    torch.use_deterministic_algorithms(True, warn_only=True)
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    learn, held_out = training_images(manifest, params.novelty.hold_out_percent)
    store = ensure_features(params, [*learn.items(params.data), *held_out.items(params.data)])
    novelty, progress = train(params, learn, held_out, store)
    with atomic_folder(params.artifacts / "novelty") as folder:
        novelty.save(folder)
        write_json(
            folder / "training.json",
            {"train_images": len(learn), "held_out_images": len(held_out), **progress.summary()},
        )


def train(
    params: Params,
    learn: TrainingImages,
    held_out: TrainingImages,
    store: FeatureStore,
) -> tuple[Novelty, Progress]:
    """Train on cached features, on the CPU: there is too little to do for a GPU."""
    pooling, batch = RegionPooling(store.shapes), params.features.batch_size
    with progress_bar("novelty", params.novelty.steps, True) as report:
        return fit_novelty(
            pooled(store, learn, pooling, batch),
            pooled(store, held_out, pooling, batch),
            learn.categories,
            pooling,
            params.novelty,
            report=lambda step, loss: report(step, f"loss {loss:.4f}"),
        )


def pooled(
    store: FeatureStore, images: TrainingImages, pooling: RegionPooling, batch_size: int
) -> Sample:
    """The images' pooled features, in their order."""
    parts = [pooling(maps) for maps in stream_maps(store, images.hashes, batch_size)]
    empty = torch.zeros(0, SIDE**2, sum(pooling.channels))
    return Sample(torch.cat([empty, *parts]), torch.tensor(images.labels, dtype=torch.long))
