"""The project's detector on the benchmarks' tables: trained, scored and timed once, then cached.

Everything that the benchmarks use of the project's training goes through this file. A trained
model is kept apart from its scores: parameters that only change how a trained model scores
(`scoring`) do not train it again. Results lie below `.normscape/bench/ours`, named by the
parameters, the seed, the images and the library's source, other detectors' left out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.datasets import test_rows, train_rows
from bench.peers.runner import cached
from bench.record import ROOT
from normscape.backbones import select_device
from normscape.backbones.runtime import available_cores
from normscape.detectors.kinds import hold_out_percent, kind_of
from normscape.detectors.model import InspectionModel
from normscape.detectors.predict import predict
from normscape.errors import UsageError
from normscape.features.extract import ensure_features, open_store
from normscape.features.store import FeatureStore
from normscape.files import read_json, sha256_file, write_json
from normscape.params import Params, load_params
from normscape.prototypes.training import TrainingImages, training_images
from normscape.stages import detector as detector_stage
from normscape.stages import prototypes as prototypes_stage
from normscape.training.checkpoint import Checkpoints

STATE = ROOT / ".normscape" / "bench" / "ours"

_ROUTING = ("prototypes.routed_categories", "prototypes.route_margin")
"""Parameters that any trained model can be scored with; so can all of the section `maps`."""

_SECTIONS = ("backbone", "features", "prototypes")
_SOURCES = (
    "features/*.py", "prototypes/*.py", "diffusion/*.py", "training/*.py", "detectors/*.py",
    "stages/prototypes.py", "stages/detector.py",
)  # fmt: skip
_NOT_OF_A_MODEL = ("detectors/kinds.py", "graph.py")
"""The list of all detectors, and what only exports use."""


@dataclass(frozen=True)
class OurResult:
    """What the detector says of the test images, in the order of their table.

    Attributes:
        scores: `(N,)` raw image scores.
        maps: `(N, S, S)` float16 raw anomaly maps, memory-mapped.
        record: Seconds, sizes, share of images whose category was recognised.
        model: The folder of the trained model.
    """

    scores: NDArray[np.float32]
    maps: NDArray[np.float16]
    record: dict[str, Any]
    model: Path


def bench_params() -> Params:
    """The checkout's `params.yaml`, with the benchmarks' own feature store."""
    return with_changes(load_params(ROOT / "params.yaml"), {"paths.state": ".normscape/bench"})


def with_changes(params: Params, changes: Mapping[str, Any]) -> Params:
    """Validated parameters that differ in some values.

    Args:
        params: To start from.
        changes: `section.name` and the new value.

    Raises:
        UsageError: There is no such parameter, or the value does not fit.
    """
    content = params.model_dump(by_alias=True)
    for name, value in changes.items():
        section, _, field = name.partition(".")
        if field not in content.get(section, {}):
            raise UsageError(f"unknown parameter '{name}'; expected section.name of params.yaml")
        content[section][field] = value
    try:
        return Params.model_validate({**content, "root": params.root})
    except ValidationError as error:
        raise UsageError(f"{dict(changes)}: {error.errors()[0]['msg']}") from None


def run_ours(rows: pd.DataFrame, params: Params, seed: int, *, name: str) -> OurResult:
    """Train one model on all categories of a table together and score its test images.

    It learns from the images that the peers learn from: those of `train` and of `calibration`,
    as no threshold is fitted here.

    Args:
        rows: The table of `bench.datasets`.
        params: Of `bench_params`, changed or not.
        seed: Of prototypes and detector.
        name: For the record and for messages.

    Raises:
        NormscapeError: Features cannot be extracted, or the training failed.
    """
    params = with_changes(params, {"prototypes.seed": seed, "detector.seed": seed})
    model = trained(rows, params, name=name)
    test = test_rows(rows)
    changes = {"model": model.name, "scoring": _scoring(params), "test": list(test["sha256"])}
    folder = cached(_digest(changes), lambda out: _score(rows, params, model, out, name), STATE)
    maps = np.load(folder / "maps.npy", mmap_mode="r")
    record = read_json(folder / "record.json")
    return OurResult(np.load(folder / "scores.npy"), maps, record, model / "model")


def trained(rows: pd.DataFrame, params: Params, *, name: str) -> Path:
    """Train on a table, once; returns a folder with `model/` and `record.json`.

    Parameters that only change how it scores have fixed values while it trains.
    """
    kind = kind_of(params.detector.name)
    usual = bench_params()
    routing = {name: _value(usual, name) for name in _ROUTING}
    params = with_changes(params, routing | dict(kind.scoring(params)))
    train = train_rows(rows)
    content = {
        "backbone": open_store(params)[0].identity.key,
        "params": params.fingerprint(*_SECTIONS, *(kind.sections if kind.trains(params) else ())),
        "source": source_hash(params.detector.name),
        "images": train[["category", "group", "sha256"]].astype(str).to_numpy().tolist(),
    }
    return cached(_digest(content), lambda out: _train(rows, params, out, name), STATE)


def scoring(params: Params) -> tuple[str, ...]:
    """Parameters that a trained model can be scored with, beside all of the section `maps`."""
    return (*_ROUTING, *kind_of(params.detector.name).scoring(params))


def extraction_seconds(rows: pd.DataFrame, params: Params) -> float:
    """Seconds to decode and extract a table's normal training and calibration images, anew."""
    normal = train_rows(rows)
    with tempfile.TemporaryDirectory(dir=STATE.parent) as folder:
        state = Path(folder)
        (state / "cache").symlink_to(params.state / "cache")
        empty = with_changes(params, {"paths.state": state})
        start = time.monotonic()
        ensure_features(empty, _items(normal), progress=False)
        return time.monotonic() - start


@cache
def source_hash(detector: str) -> str:
    """SHA-256 over the library's files that shape a model with this detector, and its scores."""
    folder = ROOT / "src" / "normscape"
    patterns = (*_SOURCES, f"detectors/{detector}/*.py")
    files = sorted(path for pattern in patterns for path in folder.glob(pattern))
    names = {path: path.relative_to(folder).as_posix() for path in files}
    shaping = [path for path in files if not names[path].endswith(_NOT_OF_A_MODEL)]
    return _digest({names[path]: sha256_file(path) for path in shaping})


def _train(rows: pd.DataFrame, params: Params, out: Path, name: str) -> None:
    print(f"{name}: train, seed {params.detector.seed}", file=sys.stderr)
    device = _prepare()
    learn, held_out = _images(rows, params)
    store, extraction = _extract(params, [*learn.items(Path()), *held_out.items(Path())])
    start = time.monotonic()
    prototypes = prototypes_stage.fit(params, learn, store, device)
    fitted = time.monotonic()
    checkpoints = Checkpoints(out / "checkpoint", "0")
    model, progress = detector_stage.train(
        params, prototypes, learn, held_out, store, checkpoints=checkpoints, device=device
    )
    checkpoints.remove()
    ended = time.monotonic()
    (out / "model").mkdir()
    model.save(out / "model")
    record = {
        "name": name,
        "features": extraction,
        "seconds": {"prototypes": round(fitted - start, 2), "detector": round(ended - fitted, 2)},
        "threads": torch.get_num_threads(),
        "categories": len(learn.categories),
        "learn_images": len(learn),
        "held_out_images": len(held_out),
        "steps": progress.step,
        "best_step": progress.best_step,
        "prototypes": prototypes.record,
        "model_bytes": sum(path.stat().st_size for path in (out / "model").iterdir()),
        "peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    write_json(out / "record.json", record)


def _score(rows: pd.DataFrame, params: Params, folder: Path, out: Path, name: str) -> None:
    print(f"{name}: score, seed {params.detector.seed}", file=sys.stderr)
    device, test = _prepare(), test_rows(rows)
    store, extraction = _extract(params, _items(test))
    model = InspectionModel.load(folder / "model").to(device)
    _adjust(model, rows, params, store, device)
    side, count = params.maps.size, len(test)
    maps = np.lib.format.open_memmap(
        out / "maps.npy", mode="w+", dtype=np.float16, shape=(count, side, side)
    )
    scores = np.empty(count, dtype=np.float32)
    hashes, size = list(test["sha256"]), params.features.batch_size
    named, done, start = [], 0, time.monotonic()
    for names, batch in predict(model, store, hashes, size, progress=False):
        end = done + len(names)
        maps[done:end], scores[done:end] = batch.map.numpy(), batch.score.numpy()
        named += [model.categories[index] for index in batch.category.tolist()]
        done = end
    seconds = time.monotonic() - start
    maps.flush()
    np.save(out / "scores.npy", scores)
    record = read_json(folder / "record.json")
    record["seconds"]["predict"] = round(seconds, 2)
    record |= {
        "test_images": count,
        "test_features": extraction,
        "category_accuracy": float(np.mean(np.array(named) == test["category"].to_numpy())),
    }
    write_json(out / "record.json", record)


def _adjust(
    model: InspectionModel,
    rows: pd.DataFrame,
    params: Params,
    store: FeatureStore,
    device: torch.device,
) -> None:
    """Give a trained model the scoring parameters of `params`."""
    model.maps, model.routed_categories = params.maps, params.prototypes.routed_categories
    model.route_margin = params.prototypes.route_margin
    kind = kind_of(params.detector.name)
    changes = {name.partition(".")[2]: _value(params, name) for name in kind.scoring(params)}
    model.detector.config = dataclasses.replace(model.detector.config, **changes)
    if not kind.trains(params):
        return
    learn, held_out = _images(rows, params)
    normals = (held_out if len(held_out) else learn).hashes
    detector_stage.normalise(model, store, normals, device)


def _images(rows: pd.DataFrame, params: Params) -> tuple[TrainingImages, TrainingImages]:
    """What to learn from and what to hold out, as the stages divide them."""
    train = train_rows(rows)
    manifest = train.assign(split="train", error=None, path=train["path"].map(str))
    return training_images(manifest, hold_out_percent(params))


def _scoring(params: Params) -> dict[str, Any]:
    return {**_scoring_changes(params), "maps": params.maps.model_dump(mode="json")}


def _scoring_changes(params: Params) -> dict[str, Any]:
    return {name: _value(params, name) for name in scoring(params)}


def _value(params: Params, name: str) -> Any:
    section, field = name.split(".")
    return getattr(getattr(params, section), field)


def _prepare() -> torch.device:
    torch.set_num_threads(available_cores())
    torch.use_deterministic_algorithms(True, warn_only=True)
    return select_device()


def _extract(
    params: Params, items: list[tuple[str, Path]]
) -> tuple[FeatureStore, dict[str, float | int]]:
    missing = len(open_store(params)[0].missing([sha256 for sha256, _ in items]))
    start = time.monotonic()
    store = ensure_features(params, items, progress=False)
    return store, {"images": missing, "seconds": round(time.monotonic() - start, 2)}


def _items(rows: pd.DataFrame) -> list[tuple[str, Path]]:
    return list(zip(rows["sha256"], rows["path"], strict=True))


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
