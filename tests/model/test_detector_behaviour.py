"""The detector's behaviour through its real stages, on drawn products with a real backbone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from normscape.data.manifest import read_manifest
from normscape.detectors.model import InspectionModel
from normscape.detectors.predict import predict
from normscape.errors import DataError
from normscape.features.extract import ensure_features
from normscape.files import read_json
from normscape.params import Params, load_params
from normscape.stages import detector, features, manifest, prototypes

pytestmark = pytest.mark.slow

SIDE = 128
TRAIN = 14


def product(kind: str, seed: int) -> np.ndarray:
    """A drawn product: `stripes`, `dots` or `rings`, with a little of its own variation."""
    generator = np.random.default_rng([seed, sum(map(ord, kind))])
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    shift, tone = generator.uniform(0, 1), generator.uniform(0.95, 1.05)
    if kind == "stripes":
        grey = 0.5 + 0.3 * np.sin(2 * np.pi * (8 * columns + shift))
    elif kind == "dots":
        grey = 0.3 + 0.5 * (np.sin(14 * np.pi * columns) * np.sin(14 * np.pi * rows) > 0.4)
    else:
        grey = 0.5 + 0.4 * np.sin(40 * np.hypot(rows - 0.5, columns - 0.5) + 6 * shift)
    noisy = tone * grey + generator.normal(0, 0.02, grey.shape)
    return (255 * noisy.clip(0, 1)).astype(np.uint8)


def scratch(image: np.ndarray, row: int, column: int) -> np.ndarray:
    damaged = image.copy()
    damaged[row : row + 18, column : column + 18] = (
        255 - damaged[row : row + 18, column : column + 18].T
    )
    damaged[row + 6 : row + 9, column : column + 18] = 0
    return damaged


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).convert("RGB").save(path)


def make(root: Path, counts: dict[str, int], **detector_params: object) -> Params:
    for kind, count in counts.items():
        for number in range(count):
            write(root / f"data/{kind}/train/good/{number:03}.png", product(kind, number))
        for number in range(4):
            good = product(kind, 1000 + number)
            write(root / f"data/{kind}/test/good/{number:03}.png", good)
            bad = scratch(product(kind, 2000 + number), 80, 24)
            write(root / f"data/{kind}/test/scratch/{number:03}.png", bad)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[80:98, 24:42] = 255
            write(root / f"data/{kind}/ground_truth/scratch/{number:03}_mask.png", mask)
    (root / "params.yaml").write_text(
        yaml.safe_dump(
            {
                "manifest": {"calibration_percent": 1, "calibration_min_images": 1},
                "backbone": {
                    "name": "tf_efficientnet_lite0", "input_size": 128, "levels": [2, 3],
                    "runtime": "torch", "precision": "fp32",
                },
                "features": {"grid": 16, "dimensions": 32, "fit_tokens": 4000},
                "prototypes": {"local_per_category": 48, "local_steps": 5, "global_steps": 5},
                "detector": {
                    "prototype_share": 0.65, "steps": 60, "batch_tokens": 512, "width": 32,
                    "blocks": 1, **detector_params,
                },
                "maps": {"size": 64, "smoothing": 1.0},
            }
        )
    )  # fmt: skip
    return load_params(root / "params.yaml")


def train(params: Params) -> None:
    for stage in (manifest, features, prototypes, detector):
        stage.run(params)


def score(params: Params, paths: list[str]) -> dict[str, torch.Tensor]:
    rows = read_manifest(params.artifacts / "manifest.parquet").set_index("path")["sha256"]
    hashes = [rows[path] for path in paths]
    store = ensure_features(
        params,
        [(sha, params.data / path) for sha, path in zip(hashes, paths, strict=True)],
        progress=False,
    )
    model = InspectionModel.load(params.artifacts / "detector")
    parts = [vars(batch) for _, batch in predict(model, store, hashes, 3, False)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Params:
    params = make(tmp_path_factory.mktemp("world"), {"stripes": TRAIN, "dots": TRAIN})
    train(params)
    return params


def test_defects_score_higher_and_where_they_are(trained: Params):
    for kind in ("stripes", "dots"):
        good = score(trained, [f"{kind}/test/good/{n:03}.png" for n in range(4)])
        bad = score(trained, [f"{kind}/test/scratch/{n:03}.png" for n in range(4)])
        assert bad["score"].min() > good["score"].max()
        for pixels in bad["map"]:
            row, column = divmod(int(pixels.argmax()), 64)
            assert 36 <= row <= 52
            assert 8 <= column <= 24


def test_category_is_found_even_with_a_defect(trained: Params):
    kinds = ["dots", "stripes"]
    for index, kind in enumerate(kinds):
        found = score(trained, [f"{kind}/test/{d}/000.png" for d in ("good", "scratch")])
        assert found["category"].tolist() == [index, index]


def test_a_new_product_is_farther_than_any_defect(trained: Params):
    known = score(
        trained,
        [
            f"{kind}/test/{defect}/{n:03}.png"
            for kind in ("dots", "stripes")
            for defect in ("good", "scratch")
            for n in range(4)
        ],
    )
    model = InspectionModel.load(trained.artifacts / "detector")
    from normscape.backbones import load_backbone
    from normscape.features.preprocess import to_batch

    images = [Image.fromarray(product("rings", n)).convert("RGB") for n in range(3)]
    unknown = model(load_backbone(trained.backbone)(to_batch(images, 128)))
    assert unknown.category_distance.min() > known["category_distance"].max()


def test_training_record_has_no_times_and_shows_learning(trained: Params):
    record = read_json(trained.artifacts / "detector" / "training.json")
    assert record["steps"] == 60
    assert {"step", "loss", "diffusion", "local", "transport"} <= set(record["curve"][0])
    assert record["curve"][-1]["diffusion"] < record["curve"][0]["diffusion"]
    assert not list((trained.state / "checkpoints").glob("*"))


def test_the_same_again_to_the_byte(trained: Params):
    def files() -> dict[str, bytes]:
        return {
            path.relative_to(trained.artifacts).as_posix(): path.read_bytes()
            for stage in ("prototypes", "detector")
            for path in (trained.artifacts / stage).iterdir()
        }

    before = files()
    prototypes.run(trained)
    detector.run(trained)
    assert files() == before


def test_kill_in_training_and_run_again(trained: Params):
    """SIGKILL after a checkpoint: the next run goes on from it and ends with the same bytes."""
    expected = (trained.artifacts / "detector" / "model.safetensors").read_bytes()
    yaml_path = trained.root / "params.yaml"
    original = yaml_path.read_text()
    content = yaml.safe_load(original)
    # Checkpoints at every step, and steps slow enough to be hit; neither changes the result.
    content["detector"]["checkpoint_seconds"] = 0.001
    yaml_path.write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "normscape.cli", "detector", "--params", str(yaml_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ})
    try:
        deadline = time.monotonic() + 120
        while not list((trained.state / "checkpoints").glob("*/checkpoint.safetensors")):
            assert process.poll() is None, "the training ended before its first checkpoint"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    try:
        detector.run(load_params(yaml_path))
    finally:
        yaml_path.write_text(original)
    assert (trained.artifacts / "detector" / "model.safetensors").read_bytes() == expected


def test_one_category_with_two_images(tmp_path: Path):
    params = make(tmp_path, {"dots": 2}, steps=3)
    frame = manifest_of(params, drop=0)
    assert (frame["split"] == "train").sum() == 2
    prototypes.run(params)
    detector.run(params)
    found = score(params, ["dots/test/good/000.png"])
    assert bool(found["score"].isfinite().all())


def test_one_image_is_a_clear_error(tmp_path: Path):
    params = make(tmp_path, {"dots": 4, "stripes": 2}, steps=3)
    manifest_of(params, drop=1)
    with pytest.raises(DataError, match="category 'stripes' has 1 training image"):
        prototypes.run(params)


def manifest_of(params: Params, drop: int) -> object:
    """A manifest whose train images are all in the train split, less the last `drop`."""
    from normscape.data.manifest import write_manifest

    manifest.run(params)
    path = params.artifacts / "manifest.parquet"
    frame = read_manifest(path)
    frame.loc[frame["split"] == "calibration", "split"] = "train"
    rows = frame.index[frame["split"] == "train"]
    frame = frame.drop(rows[len(rows) - drop :])
    write_manifest(path, frame)
    return frame
