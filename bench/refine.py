"""What the refinement of maps (`refine.name: drdc`) is worth and costs on real categories.

    make bench-refine       # writes bench/results/refine.json

The model is trained on the images of `train` alone, thresholds and p-values come from those of
`calibration`, as in the pipeline; maps are refined where the scorer would refine them. Beside it
cheap ways, for which nothing is trained: the same fusion guided by the picture itself or by
nothing, and maps that are smoothed more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench import datasets
from bench.ours import bench_params, trained, with_changes
from bench.peers.runner import cached
from bench.record import ROOT, Claim, write_result
from bench.score import measure
from normscape.backbones import select_device
from normscape.backbones.runtime import available_cores
from normscape.calibration.calibrator import Calibration, fit_calibration
from normscape.data.images import read_image
from normscape.detectors.model import InspectionModel
from normscape.detectors.predict import predict
from normscape.features.extract import ensure_features, open_store
from normscape.features.preprocess import to_batch
from normscape.files import read_json, sha256_file, write_json
from normscape.novelty.inspector import Inspector
from normscape.params import Params
from normscape.prototypes.training import training_images
from normscape.refine.model import Refiner
from normscape.scoring.scorer import Scorer
from normscape.stages import refine as refine_stage
from normscape.training.checkpoint import Checkpoints

STATE = ROOT / ".normscape" / "bench" / "refine"
SEEDS = (0, 1, 2)
CATEGORIES = ("bottle", "magnetic_tile")
METRICS = ("image_auroc", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro")
_SMOOTH = {"smooth_8": 8.0, "smooth_16": 16.0}  # pixels of a map
KINDS = ("base", "refined", "picture", "unguided", *_SMOOTH)
"""Maps: the detector's, refined, the same fusion with the picture in place of the errors and with
neither, and maps of all images smoothed more."""

_SHARPER = {"pixel_ap": "pixel AP", "pixel_f1max": "pixel F1max"}
_TIMED = 32
_ROUNDS = 5


@dataclass(frozen=True)
class Base:
    """What the detector says of a table's test images, and its thresholds.

    Attributes:
        test: The rows of the test images.
        scores: `(N,)`.
        maps: `(N, S, S)`.
        categories: `(N,)` names of the predicted categories.
        held: The rows of the held-out normal images.
        held_scores: `(M,)` of those.
        calibration: Of them.
        model: The folder of the trained model.
        record: What training it took.
    """

    test: pd.DataFrame
    scores: NDArray[np.float32]
    maps: NDArray[np.float32]
    categories: list[str]
    held: pd.DataFrame
    held_scores: NDArray[np.float32]
    calibration: Calibration
    model: Path
    record: dict[str, Any]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.refine")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of detector and refiner")
    arguments = parser.parse_args()
    raw = measured(datasets.real(), drdc(bench_params()), SEEDS[: arguments.seeds])
    print(write_result("refine", raw, claims(raw)))


def drdc(params: Params) -> Params:
    """The parameters with refinement."""
    return with_changes(params, {"refine.name": "drdc"})


def measured(rows: pd.DataFrame, params: Params, seeds: Sequence[int]) -> dict[str, Any]:
    """Figures of every category with masks and every seed, and the cost.

    Args:
        rows: A table of `bench.datasets`.
        params: Of the project, with refinement.
        seeds: Of detector and refiner.

    Returns:
        `figures`: per kind of map and category the metrics of each seed; `refined_share` of the
        test images by label; `training_seconds` on `threads`; and `cost`, see there.
    """
    figures: dict[str, dict[str, dict[str, list[float]]]] = {kind: {} for kind in KINDS}
    shares: dict[str, list[float]] = {"normal": [], "anomalous": []}
    seconds = []
    for seed in seeds:
        chosen = with_changes(
            params, {"refine.seed": seed, "prototypes.seed": seed, "detector.seed": seed}
        )
        base = base_of(rows, chosen)
        refiner, record = refiner_of(rows, chosen)
        seconds.append(record["seconds"])
        wanted = asked(base, refiner)
        labels = base.test["label"].to_numpy()
        for number, name in enumerate(shares):
            shares[name].append(float(wanted[labels == number].mean()))
        for kind in KINDS:
            found = measure(base.test, base.scores, maps_of(kind, base, refiner, wanted))
            for category, metrics in found["categories"].items():
                kept = figures[kind].setdefault(category, {})
                for metric in METRICS:
                    if metric in metrics:
                        kept.setdefault(metric, []).append(metrics[metric])
    return {
        "seeds": list(seeds),
        "figures": figures,
        "refined_share": shares,
        "training_seconds": seconds,
        "threads": available_cores(),
        "cost": cost(base, refiner, chosen),
    }


def base_of(rows: pd.DataFrame, params: Params) -> Base:
    """Train the detector without the calibration images, once; score them and the test images."""
    calibrates = ((rows["split"] == "calibration") & (rows["label"] == 0)).to_numpy()
    tests = (rows["split"] == "test").to_numpy()
    folder = trained(rows[~calibrates], params, name="refine")
    model = InspectionModel.load(folder / "model")
    every = rows[calibrates | tests].reset_index(drop=True)
    store = ensure_features(params, list(zip(every["sha256"], every["path"], strict=True)))
    hashes, size = list(every["sha256"]), params.features.batch_size
    found = [batch for _, batch in predict(model, store, hashes, size, progress=False)]
    scores = torch.cat([batch.score for batch in found]).numpy()
    names = [model.categories[c] for batch in found for c in batch.category.tolist()]
    distances = torch.cat([batch.category_distance for batch in found]).numpy()
    held = (every["split"] == "calibration").to_numpy()
    calibration = fit_calibration(
        scores[held], every["category"][held].tolist(), distances[held], params.calibrate,
        store.identity, groups=every["group"][held].astype(str).tolist(),
    )  # fmt: skip
    return Base(
        test=every[~held].reset_index(drop=True),
        scores=scores[~held],
        maps=torch.cat([batch.map for batch in found]).numpy()[~held],
        categories=[name for name, out in zip(names, held, strict=True) if not out],
        held=every[held].reset_index(drop=True),
        held_scores=scores[held],
        calibration=calibration,
        model=folder / "model",
        record=read_json(folder / "record.json"),
    )


def refiner_of(rows: pd.DataFrame, params: Params) -> tuple[Refiner, dict[str, Any]]:
    """Train a refiner on a table's training images, once; returns it and its record."""
    train = rows[(rows["split"] == "train") & (rows["label"] == 0)]
    manifest = train.assign(error=None, path=train["path"].map(str))
    learn, held_out = training_images(manifest, params.refine.hold_out_percent)
    library = ROOT / "src" / "normscape"
    sources = sorted(
        path for name in ("refine", "training") for path in library.glob(f"{name}/*.py")
    )
    trained_with = [path for path in sources if path.name not in {"fusion.py", "apply.py"}]
    key = {
        "params": params.fingerprint("refine"),
        "map_size": params.maps.size,
        "input_size": params.backbone.input_size,
        "images": [*learn.hashes, *held_out.hashes],
        "source": [sha256_file(path) for path in trained_with],
    }

    def produce(out: Path) -> None:
        torch.set_num_threads(available_cores())
        start = time.monotonic()
        refiner, progress = refine_stage.train(
            params, learn, held_out, checkpoints=Checkpoints(out, "0"), device=select_device()
        )
        refiner.save(out)
        seconds = round(time.monotonic() - start, 1)
        write_json(out / "record.json", {"seconds": seconds, **vars(progress)})

    folder = cached(hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20], produce, STATE)
    return Refiner.load(folder), read_json(folder / "record.json")


def asked(base: Base, refiner: Refiner) -> NDArray[np.bool_]:
    """Which test images the scorer would refine the maps of."""
    p_values = base.calibration.p_value(base.scores, base.categories)
    wanted: NDArray[np.bool_] = refiner.wanted(torch.from_numpy(p_values)).numpy()
    return wanted


def maps_of(
    kind: str, base: Base, refiner: Refiner, wanted: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The maps `(N, S, S)` of one of `KINDS`."""
    if kind == "base":
        return base.maps
    if kind in _SMOOTH:
        smooth: NDArray[np.float32] = gaussian_filter(base.maps, (0, _SMOOTH[kind], _SMOOTH[kind]))
        return smooth
    maps, known = base.maps.copy(), refiner.config.categories
    masked = set(base.test.loc[base.test["mask"].notna(), "category"])
    measured_too = base.test["category"].isin(masked).to_numpy()
    for row in np.flatnonzero(wanted & measured_too):
        pixels = to_batch([read_image(base.test["path"][row])], refiner.config.input_size)
        own = torch.from_numpy(base.maps[row])[None]
        if kind == "refined":
            category = torch.tensor([known.index(base.categories[row])])
            found = refiner(pixels, own, category)
        else:
            guides = picture_guides(refiner.picture(pixels))
            found = refiner.fusion(own, guides if kind == "picture" else torch.zeros_like(guides))
        maps[row] = found[0].numpy()
    return maps


def picture_guides(picture: torch.Tensor) -> torch.Tensor:
    """In place of the errors `(1, 4, S, S)`: the picture's colours and its squared differences."""
    down, right = picture.diff(dim=2)[..., :-1], picture.diff(dim=3)[:, :, :-1]
    steps = (down.square() + right.square()).mean(dim=1, keepdim=True)
    steps = torch.nn.functional.pad(steps, (0, 1, 0, 1), mode="replicate")
    return torch.cat([picture - picture.mean(dim=(2, 3), keepdim=True), steps], dim=1)


def cost(base: Base, refiner: Refiner, params: Params) -> dict[str, float]:
    """Time of a scorer on flagged and on unremarkable images, with and without refinement.

    Returns:
        `base_ms` an image without a refiner; `flagged` and `unflagged`, how many times as long an
        image takes with one when every image is refined, and when none is. Medians over rounds
        that took turns.
    """
    paths = base.test["path"].iloc[:: max(1, len(base.test) // _TIMED)].head(_TIMED)
    pixels = to_batch([read_image(path) for path in paths], params.backbone.input_size)
    _, backbone = open_store(params)
    model, size = Inspector(InspectionModel.load(base.model), None), params.score.batch_size
    refiners: dict[str, Refiner | None] = {"base": None}
    for name, max_p in (("flagged", 1.0), ("unflagged", 0.0)):
        one = Refiner(replace(refiner.config, max_p=max_p))
        one.load_state_dict(refiner.state_dict())
        refiners[name] = one
    scorers = {
        name: Scorer(backbone, model, base.calibration, one) for name, one in refiners.items()
    }
    times: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(_ROUNDS):
        for name, scorer in scorers.items():
            start = time.perf_counter()
            for part in torch.split(pixels, size):
                scorer.score_batch(part, [None] * len(part))
            times[name].append((time.perf_counter() - start) / len(pixels))
    median = {name: float(np.median(found)) for name, found in times.items()}
    return {
        "base_ms": round(1000 * median["base"], 1),
        "flagged": round(median["flagged"] / median["base"], 2),
        "unflagged": round(median["unflagged"] / median["base"], 2),
    }


def claims(raw: dict[str, Any]) -> list[Claim]:
    """What the measurement says."""
    found = []
    figures = raw["figures"]
    for category in CATEGORIES:
        for metric, title in _SHARPER.items():
            before, after = (
                float(np.mean(figures[kind][category][metric])) for kind in ("base", "refined")
            )
            found.append(
                Claim(
                    f"refine.{metric}_{category}", round(100 * (after / before - 1), 1), 10.0,
                    "% more", "at least",
                    f"{title} of {category} with refined maps, over that of the detector's, mean "
                    f"of {len(raw['seeds'])} seeds",
                )
            )  # fmt: skip
    drop = max(
        before - after
        for category, metrics in figures["base"].items()
        for before, after in zip(
            metrics["image_auroc"], figures["refined"][category]["image_auroc"], strict=True
        )
    )
    found.append(
        Claim(
            "refine.image_auroc", round(100 * drop, 2), 0.2, "points", "at most",
            "largest loss of image AUROC of a category and seed",
        )
    )  # fmt: skip
    found.append(
        Claim(
            "refine.cost_unflagged", raw["cost"]["unflagged"], 1.05, "ratio", "at most",
            "time of the scorer for an image far below its threshold, over that without a refiner",
        )
    )  # fmt: skip
    return found


if __name__ == "__main__":
    main()
