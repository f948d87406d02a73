"""Stage `refine`: learn to inpaint normal pixels, to make the maps of flagged images sharper."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import torch

from normscape.backbones import select_device
from normscape.backbones.runtime import available_cores
from normscape.data.manifest import read_manifest
from normscape.errors import UsageError
from normscape.files import atomic_folder, write_json
from normscape.params import Params
from normscape.progress import progress_bar
from normscape.prototypes.training import TrainingImages, training_images
from normscape.refine.model import Refiner, RefinerConfig
from normscape.refine.pictures import Pictures
from normscape.refine.train import train_inpainting
from normscape.tiling.training import is_cut
from normscape.training.checkpoint import Checkpoints
from normscape.training.loop import Progress

_MOST_PICTURES = 8192
_CHECKPOINT_FORMAT = 2


def run(params: Params) -> None:
    """Write `artifacts/refine`: the refiner, if `refine.name` is not none, and `training.json`.

    Resumes from the last checkpoint of a training with the same images and parameters, and then
    gives the same tensors as one that was never interrupted.

    Raises:
        DataError: There are no training images, or one cannot be read.
        UsageError: The manifest is missing, or all images are cut into tiles.
        NormscapeError: Something cannot be read or written.
    """
    if params.refine.name == "none":
        with atomic_folder(params.artifacts / "refine") as folder:
            write_json(folder / "training.json", {"name": "none"})
        return
    threads = available_cores()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = select_device()
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    learn, held_out = training_images(_whole(manifest, params), params.refine.hold_out_percent)
    content = {
        "format": _CHECKPOINT_FORMAT,
        "machine": f"{device.type}/{threads}",
        "torch": torch.__version__,
        "input_size": params.backbone.input_size,
        "refine": params.fingerprint("refine"),
        "images": [list(zip(part.hashes, part.labels, strict=True)) for part in (learn, held_out)],
    }
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
    checkpoints = Checkpoints(params.state / "checkpoints", key)
    checkpoints.prune()
    refiner, progress = train(params, learn, held_out, checkpoints=checkpoints, device=device)
    counts = {"train_images": len(learn), "held_out_images": len(held_out)}
    with atomic_folder(params.artifacts / "refine") as folder:
        refiner.save(folder)
        write_json(
            folder / "training.json",
            {"name": params.refine.name, **counts, **progress.summary()},
        )
    checkpoints.remove()


def train(
    params: Params,
    learn: TrainingImages,
    held_out: TrainingImages,
    *,
    checkpoints: Checkpoints,
    device: torch.device,
) -> tuple[Refiner, Progress]:
    """Train on the pixels of normal images."""
    config = RefinerConfig.of(
        params.refine,
        learn.categories,
        input_size=params.backbone.input_size,
        map_size=params.maps.size,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.refine.seed)
        refiner = Refiner(config)
    pictures = [
        Pictures.read(images, params.data, refiner, _MOST_PICTURES) for images in (learn, held_out)
    ]
    model = refiner.inpainting.to(device)
    with progress_bar("refine", params.refine.steps, True) as report:
        progress = train_inpainting(
            model,
            pictures[0],
            pictures[1],
            params.refine,
            checkpoints,
            report=lambda step, loss: report(step, f"loss {loss:.4f}"),
        )
    return refiner.eval().requires_grad_(False), progress


def _whole(manifest: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The rows of images that are not cut into tiles: the others' maps are not refined."""
    rows = manifest[~is_cut(manifest, params.tiling)]
    if lost := set(manifest["category"]) - set(rows.loc[rows["split"] == "train", "category"]):
        raise UsageError(
            f"refine.name is {params.refine.name}, but all training images of "
            f"{', '.join(sorted(lost))} are cut into tiles (tiling.tile), and maps of tiles are "
            "not refined; expected some that are not, set refine.name to none"
        )
    return rows
