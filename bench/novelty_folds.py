"""Leave some categories out, learn the others, and measure all images: `bench.novelty`'s figures.

Every measure is fitted on the `train` split of the known categories, and its p-values come from
their `calibration` split. The left-out categories' normal images are what is to be found; normal
and defective `test` images of the known ones are what is not.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from bench.record import ROOT
from normscape.calibration.calibrator import fit_calibration
from normscape.detectors.model import InspectionModel
from normscape.detectors.predict import predict
from normscape.features.extract import ensure_features
from normscape.features.store import FeatureStore
from normscape.features.transform import TokenTransform
from normscape.files import atomic_path
from normscape.novelty.counts import strange_level
from normscape.novelty.model import Novelty
from normscape.novelty.pooling import RegionPooling, mean_of
from normscape.novelty.train import Sample, fit_novelty
from normscape.params import Params
from normscape.prototypes.categories import CategoryHead
from normscape.prototypes.sample import image_embedding
from normscape.prototypes.training import stream_maps, training_images
from normscape.stages import detector as detector_stage
from normscape.stages import prototypes as prototypes_stage
from normscape.training.checkpoint import Checkpoints

Values = NDArray[np.float64]

CACHE = ROOT / ".normscape" / "bench" / "novelty"
"""Pooled features, which cost the extraction; nothing that is trained is kept."""

DEFAULT = "strangeness"
_CHUNK = 256


@dataclass(frozen=True)
class Images:
    """A table of `bench.datasets` with what the measures need of its images.

    Attributes:
        rows: The table.
        store: The images' features.
        params: The project's, with the benchmark's state.
    """

    rows: pd.DataFrame
    store: FeatureStore
    params: Params

    @classmethod
    def of(cls, rows: pd.DataFrame, params: Params) -> Images:
        """Extract what is missing."""
        items = list(zip(rows["sha256"], rows["path"], strict=True))
        return cls(rows, ensure_features(params, items), params)

    @cached_property
    def pooling(self) -> RegionPooling:
        """Of the backbone's levels."""
        return RegionPooling(self.store.shapes)

    @cached_property
    def regions(self) -> Tensor:
        """`(n, R, D)` pooled features, from the cache where they are."""
        content = [self.store.identity.key, *self.rows["sha256"]]
        name = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
        path = CACHE / f"{name}.npy"
        if not path.exists():
            parts = [self.pooling(maps) for maps in self._maps(list(self.rows["sha256"]))]
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, torch.cat(parts).numpy())
        return torch.from_numpy(np.load(path))

    def embeddings(self, transform: TokenTransform) -> Tensor:
        """`(n, D)` of the present category head."""
        maps = self._maps(list(self.rows["sha256"]))
        return torch.cat([image_embedding(transform(levels)) for levels in maps])

    def fit_transform(self, learn: NDArray[np.int64]) -> TokenTransform:
        """The token transform of some of the images."""
        maps = self._maps(list(self.rows["sha256"].iloc[learn]))
        return TokenTransform.fit(maps, self.params.features, self.store.shapes)

    def _maps(self, hashes: list[str]) -> Iterator[list[Tensor]]:
        return stream_maps(self.store, tuple(hashes), self.params.features.batch_size)


@dataclass(frozen=True)
class Fold:
    """What was measured with some categories left out.

    Attributes:
        measures: Of all images, by name; larger is stranger.
        predicted: The nearest known category of each image.
        learn, calibrate, normal, defective, unknown: Rows of the table.
        seconds: Of training the novelty model.
    """

    measures: dict[str, Values]
    predicted: NDArray[np.str_]
    learn: NDArray[np.int64]
    calibrate: NDArray[np.int64]
    normal: NDArray[np.int64]
    defective: NDArray[np.int64]
    unknown: NDArray[np.int64]
    seconds: float

    def p_values(self, name: str) -> Values:
        """Conformal p-values of all images."""
        values = self.measures[name]
        known = np.sort(values[self.calibrate])
        below = np.searchsorted(known, values, side="left")
        return np.asarray((1 + len(known) - below) / (1 + len(known)))

    def level(self, alpha: float) -> float:
        """The p-value up to which an image is strange."""
        return strange_level(alpha, len(self.calibrate))[0]


def leave_out(images: Images, out: Sequence[str]) -> Fold:
    """Fit every measure without the categories `out`, and measure all images."""
    rows = images.rows
    known, normal = ~rows["category"].isin(list(out)), rows["label"] == 0
    part = {
        split: np.flatnonzero(known & normal & (rows["split"] == split))
        for split in ("train", "calibration", "test")
    }
    novelty, seconds = train_novelty(images, part["train"])
    measures, predicted = _measures(images, part["train"], novelty)
    return Fold(
        measures,
        predicted,
        learn=part["train"],
        calibrate=part["calibration"],
        normal=part["test"],
        defective=np.flatnonzero(known & ~normal),
        unknown=np.flatnonzero(~known & normal),
        seconds=seconds,
    )


def train_novelty(images: Images, learn: NDArray[np.int64]) -> tuple[Novelty, float]:
    """As the stage does, from pooled features; and the seconds it took."""
    rows = images.rows.iloc[learn]
    manifest = rows.assign(split="train", error=None, path=rows["path"].map(str))
    parts = training_images(manifest, images.params.novelty.hold_out_percent)
    place = {sha256: row for row, sha256 in zip(learn, rows["sha256"], strict=True)}
    samples = [
        Sample(
            images.regions[[int(place[sha256]) for sha256 in each.hashes]],
            torch.tensor(each.labels, dtype=torch.long),
        )
        for each in parts
    ]
    start = time.monotonic()
    novelty, _ = fit_novelty(*samples, parts[0].categories, images.pooling, images.params.novelty)
    return novelty, time.monotonic() - start


@torch.no_grad()
def _measures(
    images: Images, learn: NDArray[np.int64], novelty: Novelty
) -> tuple[dict[str, Values], NDArray[np.str_]]:
    names = sorted(set(images.rows["category"].iloc[learn]))
    labels = torch.tensor([names.index(each) for each in images.rows["category"].iloc[learn]])
    regions = torch.split(images.regions, _CHUNK)
    found = [novelty.measures(part) for part in regions]
    tensors = {name: torch.cat([each[name] for each in found]) for name in found[0]}
    scaled = torch.stack(list(tensors.values()), dim=1).sub(novelty.location).div(novelty.spread)
    tensors[DEFAULT] = torch.cat([novelty.judge(part) for part in regions])
    tensors["levels"] = scaled[:, :-1].mean(dim=1)
    clean = novelty.dlsr.standardise(mean_of(images.regions))
    errors = [novelty.dlsr.errors(part)[:, 1] for part in torch.split(clean, _CHUNK)]
    tensors["mse"] = torch.cat(errors)
    tensors["nearest pooled image"] = _nearest(clean, clean[learn])
    tensors["pooled category distance"] = _distance(clean, learn, labels, names)[1]
    embeddings = images.embeddings(images.fit_transform(learn))
    category, distance = _distance(embeddings, learn, labels, names)
    tensors["category distance"] = distance
    measures = {name: value.double().numpy() for name, value in tensors.items()}
    return measures, np.array(names)[category.numpy()]


def _nearest(points: Tensor, known: Tensor) -> Tensor:
    parts = [torch.cdist(part, known).min(dim=1).values for part in torch.split(points, _CHUNK)]
    return torch.cat(parts)


def _distance(
    points: Tensor, learn: NDArray[np.int64], labels: Tensor, names: Sequence[str]
) -> tuple[Tensor, Tensor]:
    head = CategoryHead.fit(points[learn], labels, names)
    parts = [head.classify(part) for part in torch.split(points, _CHUNK)]
    indices, distances = zip(*parts, strict=True)
    return torch.cat(indices)[:, 0], torch.cat(distances)[:, 0]


def rates(images: Images, folds: Sequence[Fold], alpha: float) -> dict[str, dict[str, float]]:
    """For every measure, means over folds and categories of what it tells apart.

    `image_auroc`: unknown products against normal images of known ones, all images of a fold
    together; `against_defects`: against defective ones. `found` and `worst_found`: share of a
    left-out category's images that are strange at the level `alpha`. `defects`, `worst_defects`:
    share of a known category's defective images that are. `normals`: share of normal test images
    that are.
    """
    category = images.rows["category"].to_numpy(dtype=str)
    result = {}
    for name in folds[0].measures:
        aurocs, against, normals, found, defects = [], [], [], [], []
        for fold in folds:
            values, p_values = fold.measures[name], fold.p_values(name)
            strange = p_values <= fold.level(alpha)
            aurocs.append(_auroc(values[fold.normal], values[fold.unknown]))
            against.append(_auroc(values[fold.defective], values[fold.unknown]))
            normals.append(float(strange[fold.normal].mean()))
            found += _by_category(strange, fold.unknown, category)
            defects += _by_category(strange, fold.defective, category)
        result[name] = {
            "image_auroc": float(np.mean(aurocs)),
            "against_defects": float(np.mean(against)),
            "normals": float(np.mean(normals)),
            "found": float(np.mean(found)),
            "worst_found": float(np.min(found)),
            "defects": float(np.mean(defects)),
            "worst_defects": float(np.max(defects)),
        }
    return result


def _by_category(
    strange: NDArray[np.bool_], rows: NDArray[np.int64], category: NDArray[np.str_]
) -> list[float]:
    return [
        float(strange[rows[category[rows] == name]].mean()) for name in sorted(set(category[rows]))
    ]


def _auroc(low: Values, high: Values) -> float:
    labels = np.concatenate([np.zeros(len(low)), np.ones(len(high))])
    return float(roc_auc_score(labels, np.concatenate([low, high])))


def train_detector(images: Images) -> tuple[InspectionModel, NDArray[np.bool_], float]:
    """One detector of all categories: the model, which test images it flags, and its seconds.

    Whether a defective image is flagged is a matter of its own category's prototypes; training a
    detector for every fold would change little and cost most of the time.
    """
    rows, params = images.rows, images.params
    manifest = rows.assign(error=None, path=rows["path"].map(str))
    learn, held_out = training_images(manifest, 0)
    device = torch.device("cpu")
    start = time.monotonic()
    prototypes = prototypes_stage.fit(params, learn, images.store, device)
    seconds = time.monotonic() - start
    model, _ = detector_stage.train(
        params, prototypes, learn, held_out, images.store,
        checkpoints=Checkpoints(CACHE / "checkpoint", "0"), device=device,
    )  # fmt: skip
    chosen = np.flatnonzero(rows["split"] != "train")
    hashes = list(rows["sha256"].iloc[chosen])
    batches = predict(model, images.store, hashes, params.features.batch_size, progress=True)
    scores = np.full(len(rows), np.nan)
    scores[chosen] = np.concatenate([batch.score.numpy() for _, batch in batches])
    calibrate = np.flatnonzero(rows["split"] == "calibration")
    names = rows["category"].to_numpy(dtype=str)
    calibration = fit_calibration(
        scores[calibrate], names[calibrate].tolist(), np.ones(len(calibrate)), params.calibrate,
        images.store.identity, groups=rows["group"].iloc[calibrate].tolist(),
    )  # fmt: skip
    limits = np.array([calibration.threshold(name) for name in names])
    print(f"detector of {len(learn.categories)} categories: {seconds:.0f} s", file=sys.stderr)
    return model, np.asarray(scores > limits), seconds
