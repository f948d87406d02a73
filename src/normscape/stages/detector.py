"""Stage `detector`: train the detector from the banks, and write the complete model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import torch

from normscape.backbones import select_device
from normscape.backbones.runtime import available_cores
from normscape.data.manifest import read_manifest
from normscape.detectors.base import Detector
from normscape.detectors.kinds import hold_out_percent, kind_of
from normscape.detectors.model import InspectionModel
from normscape.detectors.train import train_detector
from normscape.errors import UsageError
from normscape.features.extract import ensure_features
from normscape.features.store import FeatureStore
from normscape.files import atomic_folder, sha256_file, write_json
from normscape.params import Params
from normscape.progress import progress_bar
from normscape.prototypes.artifact import Prototypes
from normscape.prototypes.sample import TokenSample, sample_tokens
from normscape.prototypes.training import TrainingImages, stream_tokens, training_images
from normscape.stages.curves import training_curves
from normscape.training.checkpoint import Checkpoints
from normscape.training.loop import Progress

_NORMALISATION_IMAGES = 64
_CHECKPOINT_FORMAT = 4


def run(params: Params) -> None:
    """Write `artifacts/detector`: the model and `training.json`.

    Resumes from the last checkpoint of a training with the same data, features, prototypes and
    parameters, and then gives the same tensors as one that was never interrupted.

    Raises:
        DataError: There are no training images, or one cannot be read.
        UsageError: The manifest or the prototypes are missing, or parameters do not fit.
        NormscapeError: Something cannot be read or written.
    """
    threads = available_cores()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = select_device()
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    learn, held_out = training_images(manifest, hold_out_percent(params))
    prototypes = Prototypes.load(params.artifacts / "prototypes")
    if prototypes.categories != learn.categories:
        raise UsageError(
            f"the prototypes are of {', '.join(prototypes.categories)}, the manifest has "
            f"{', '.join(learn.categories)}; run the prototypes stage again"
        )
    store = ensure_features(params, [*learn.items(params.data), *held_out.items(params.data)])
    key = _key(params, manifest, store, f"{device.type}/{threads}")
    checkpoints = Checkpoints(params.state / "checkpoints", key)
    checkpoints.prune()
    model, progress = train(
        params,
        prototypes,
        learn,
        held_out,
        store,
        checkpoints=checkpoints,
        device=device,
        curves=params.state / "dvclive" / "detector",
    )
    with atomic_folder(params.artifacts / "detector") as folder:
        model.save(folder)
        counts = {"train_images": len(learn), "held_out_images": len(held_out)}
        write_json(folder / "training.json", counts | progress.summary())
    checkpoints.remove()


def train(
    params: Params,
    prototypes: Prototypes,
    learn: TrainingImages,
    held_out: TrainingImages,
    store: FeatureStore,
    *,
    checkpoints: Checkpoints,
    device: torch.device,
    curves: Path | None = None,
) -> tuple[InspectionModel, Progress]:
    """Train on cached features and put the model together; write its curves if a folder is given.

    Some detectors have nothing to train: the banks are all that they score with.
    """
    kind = kind_of(params.detector.name)
    detector = build(params, prototypes).to(device)
    transform = prototypes.transform.to(device)
    if not kind.trains(params):
        return _complete(params, prototypes, detector).to(device), Progress()

    def sample(images: TrainingImages) -> TokenSample:
        tokens = stream_tokens(
            store,
            transform,
            images.hashes,
            batch_size=params.features.batch_size,
            device=device,
        )
        limit, seed = params.prototypes.sample_tokens, params.detector.seed
        return sample_tokens(tokens, images.labels, limit, seed)

    objective = kind.objective(detector, params)
    tokens = sample(learn), sample(held_out) if len(held_out) else None
    with (
        training_curves(curves) as evaluated,
        progress_bar("train", objective.training.steps, True) as report,
    ):
        progress = train_detector(
            objective,
            *tokens,
            checkpoints,
            report=lambda step, loss: report(step, f"loss {loss:.4f}"),
            evaluated=evaluated,
        )
    model = _complete(params, prototypes, detector).to(device)
    normalise(model, store, (held_out if len(held_out) else learn).hashes, device)
    return model, progress


def _complete(params: Params, prototypes: Prototypes, detector: Detector) -> InspectionModel:
    return InspectionModel(
        prototypes.transform,
        detector,
        prototypes.head,
        categories=prototypes.categories,
        maps=params.maps,
        routed_categories=params.prototypes.routed_categories,
        route_margin=params.prototypes.route_margin,
    ).eval()


def build(params: Params, prototypes: Prototypes) -> Detector:
    """The detector that is chosen, with the fitted banks, untrained and seeded.

    Raises:
        UsageError: Parameters contradict each other.
    """
    detector: Detector = kind_of(params.detector.name).build(params, prototypes)
    return detector


@torch.no_grad()
def normalise(
    model: InspectionModel, store: FeatureStore, hashes: tuple[str, ...], device: torch.device
) -> None:
    """Take the scales of the detector's scores from normal images, evenly over the list."""
    stride = max(1, len(hashes) // _NORMALISATION_IMAGES)
    images = []
    for sha256 in hashes[::stride][:_NORMALISATION_IMAGES]:
        tokens = model.tokens([level.to(device) for level in store.read([sha256])])
        images.append((tokens, model.routes(tokens)[0]))
    model.detector.fit_scales(images)


def _key(params: Params, manifest: pd.DataFrame, store: FeatureStore, machine: str) -> str:
    """Names a training by all that shapes its result."""
    rows = manifest[manifest["split"] == "train"]
    folder = params.artifacts / "prototypes"
    content = {
        "format": _CHECKPOINT_FORMAT,
        "machine": machine,
        "torch": torch.__version__,
        "backbone": store.identity.key,
        "params": params.fingerprint(
            "features", "prototypes", *kind_of(params.detector.name).sections
        ),
        "images": rows[["path", "category", "group", "sha256"]].astype(str).to_numpy().tolist(),
        "prototypes": [
            sha256_file(path) for path in sorted(folder.iterdir()) if path.suffix == ".safetensors"
        ],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
