"""One real path: stages, evaluation, registry, scorer, recalibration and export, refined."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from normscape.data.images import read_image
from normscape.errors import NormscapeError, UsageError
from normscape.features.preprocess import to_batch
from normscape.files import read_json, sha256_file
from normscape.params import Params, load_params
from normscape.refine.model import CONFIG, TENSORS
from normscape.registry.bundle import INDEX, Bundle, BundleError
from normscape.registry.code import read_code_state
from normscape.registry.gate import decide
from normscape.registry.store import open_registry
from normscape.registry.writer import write_bundle
from normscape.review.recalibrate import recalibrate
from normscape.scoring.scorer import Scorer
from normscape.stages.runner import run_stage

pytestmark = pytest.mark.slow

TINY = {
    "name": "drdc", "size": 32, "width": 8, "cells": [4, 8], "times": [1.0], "steps": 30,
    "batch_size": 4, "max_p": 0.2,
}  # fmt: skip


def configure(root: Path, **changes) -> Params:
    path = root / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    return load_params(path)


def bundled(params: Params, target: Path) -> Bundle:
    decision = decide(
        read_json(params.artifacts / "evaluation" / "metrics.json"), None, params.gate
    )
    write_bundle(target, params, read_code_state(params.root), decision)
    return Bundle.load(target)


@pytest.fixture(scope="module")
def refined(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, str]:
    """The trained checkout with a refiner in production, and that version's name."""
    root = tmp_path_factory.mktemp("refined") / "project"
    shutil.copytree(trained, root)
    for picture in root.glob("data/*/test/hole/*.png"):
        mask = np.zeros((64, 64), dtype=np.uint8)
        mask[20:36, 24:40] = 255
        place = picture.parents[2] / "ground_truth" / "hole" / f"{picture.stem}_mask.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(place)
    params = load_params(root / "params.yaml")
    for stage in ("manifest", "evaluate"):
        run_stage(stage, params)
    shutil.move(params.artifacts / "evaluation" / "metrics.json", root / "before.json")
    params = configure(root, refine=TINY)
    for stage in ("refine", "evaluate"):
        run_stage(stage, params)
    shutil.rmtree(root / "bundle")
    registry = open_registry(params)
    version = registry.register(bundled(params, root / "bundle").folder, reason="refined")
    return params, version


def opened(params: Params, version: str) -> tuple[Scorer, Scorer]:
    """The scorer of a version, and the same without its refiner."""
    bundle = Bundle.load(open_registry(params).get(version))
    assert bundle.refiner is not None
    scorer = Scorer.open(bundle, cache=params.state / "cache")
    return scorer, Scorer(scorer._backbone, bundle.model, bundle.calibration)


def test_only_maps_of_images_that_stand_out_change(refined: tuple[Params, str]) -> None:
    params, version = refined
    scorer, plain = opened(params, version)
    images = [read_image(path) for path in sorted(params.data.glob("*/test/*/*.png"))]
    changed = 0
    for found, base in zip(scorer.score(images), plain.score(images), strict=True):
        stands_out = base.p_value_predicted <= TINY["max_p"]
        assert np.array_equal(found.map, base.map) != stands_out
        rest = dataclasses.asdict(found) | {"map": None}
        assert rest == dataclasses.asdict(base) | {"map": None}
        changed += stands_out
    assert 0 < changed < len(images)


def test_a_map_has_the_same_bits_whatever_the_batch(refined: tuple[Params, str]) -> None:
    params, version = refined
    scorer, _ = opened(params, version)
    images = [read_image(path) for path in sorted(params.data.glob("*/test/hole/*.png"))[:5]]
    pixels = to_batch(images, scorer.identity.input_size)
    together = scorer.score_batch(pixels, [None] * 5)
    for row, expected in enumerate(together):
        (alone,) = scorer.score_batch(pixels[row : row + 1], [None])
        assert np.array_equal(alone.map, expected.map)


def test_the_evaluation_measures_the_refined_maps(refined: tuple[Params, str]) -> None:
    params, _ = refined
    before = read_json(params.root / "before.json")
    after = read_json(params.artifacts / "evaluation" / "metrics.json")
    for name, metrics in after["categories"].items():
        base = before["categories"][name]
        assert metrics["image_auroc"] == base["image_auroc"]
        assert metrics["pixel_ap"] != base["pixel_ap"]


def test_the_stage_goes_on_where_it_was_and_leaves_nothing_without_a_name(
    refined: tuple[Params, str], tmp_path: Path
) -> None:
    params, _ = refined
    assert read_json(params.artifacts / "refine" / "training.json")["steps"] == TINY["steps"]
    before = sha256_file(params.artifacts / "refine" / TENSORS)
    run_stage("refine", params)
    assert sha256_file(params.artifacts / "refine" / TENSORS) == before
    root = tmp_path / "project"
    shutil.copytree(params.root, root)
    none = configure(root, refine={"name": "none"})
    run_stage("refine", none)
    assert {path.name for path in (none.artifacts / "refine").iterdir()} == {"training.json"}
    shutil.rmtree(root / "bundle")
    assert bundled(none, root / "bundle").refiner is None


def test_a_refiner_that_is_missing_or_of_other_parameters_is_never_evaluated(
    refined: tuple[Params, str], tmp_path: Path
) -> None:
    params, _ = refined
    root = tmp_path / "project"
    shutil.copytree(params.root, root)
    with pytest.raises(NormscapeError, match=r"made with width 8, params\.yaml says 16; run the"):
        run_stage("evaluate", configure(root, refine=TINY | {"width": 16}))
    (root / "artifacts" / "refine" / TENSORS).unlink()
    with pytest.raises(UsageError, match=r"refine\.name is drdc, but .* has no refiner; run the"):
        run_stage("evaluate", configure(root, refine=TINY))


def test_images_that_are_all_cut_cannot_be_learned_from(
    refined: tuple[Params, str], tmp_path: Path
) -> None:
    params, _ = refined
    root = tmp_path / "project"
    shutil.copytree(params.root, root)
    with pytest.raises(UsageError, match=r"bolt, nut are cut into tiles.*refine\.name to none"):
        run_stage("refine", configure(root, tiling={"tile": 64, "above": 32}))


def test_new_thresholds_keep_the_refiner(refined: tuple[Params, str], tmp_path: Path) -> None:
    params, version = refined
    root = tmp_path / "project"
    shutil.copytree(params.root, root)
    copy = configure(root, calibrate={"target_fpr": 0.2})
    registry = open_registry(copy)
    made = recalibrate(copy, alias=version, allow_dirty=True)
    assert made.version is not None
    parent, child = (Bundle.load(registry.get(name)) for name in (version, made.version))
    for name in (TENSORS, CONFIG):
        assert child.files[name] == parent.files[name]


def rewritten(bundle: Path, name: str, content: bytes) -> None:
    (bundle / name).write_bytes(content)
    index = json.loads((bundle / INDEX).read_text())
    index["files"][name] = sha256_file(bundle / name)
    (bundle / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda config: config | {"width": 256}, "asks for"),
        (lambda config: config | {"map_size": 1 << 20}, "map_size"),
        (lambda config: config | {"times": [0.5] * 1000}, "times"),
        (lambda config: config | {"later": True}, "unknown to this release"),
        (lambda config: config | {"strength": float("nan")}, "strength"),
    ],
)
def test_a_refiner_made_to_harm_is_refused(
    refined: tuple[Params, str], tmp_path: Path, change: Callable[[dict], dict], match: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(refined[0].root / "bundle", folder)
    config = change(json.loads((folder / CONFIG).read_text()))
    rewritten(folder, CONFIG, json.dumps(config).encode())
    with pytest.raises(BundleError, match=match):
        Bundle.load(folder)
