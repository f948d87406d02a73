"""A real champion, trained by the real stages on small pictures, against real challengers."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from normscape.backbones.sources import locate
from normscape.backbones.weights import load_weights
from normscape.data.images import read_image
from normscape.data.manifest import read_manifest
from normscape.errors import NormscapeError, UsageError
from normscape.files import read_json, write_json
from normscape.params import Params, load_params
from normscape.registry.bundle import Bundle, seal
from normscape.registry.champion import compare_with_champion, rescore_champion
from normscape.registry.code import read_code_state
from normscape.registry.contract import PRODUCTION
from normscape.registry.decision import GateDecision
from normscape.registry.publish import publish
from normscape.registry.store import open_registry
from normscape.registry.writer import write_bundle
from normscape.scoring.scorer import Scorer
from normscape.stages.runner import STAGES, run_stage

from .project import git

pytestmark = pytest.mark.slow

PARAMS: dict[str, Any] = {
    "manifest": {"calibration_percent": 30, "calibration_min_images": 4, "group_pattern": None},
    "validate": {"min_train": 4, "min_calibration": 2},
    "backbone": {"input_size": 64, "levels": [1, 2], "runtime": "torch", "precision": "fp32"},
    "features": {"grid": 8, "dimensions": 16, "fit_tokens": 2000},
    "prototypes": {"local_per_category": 16, "local_steps": 2, "global_steps": 2},
    "novelty": {"steps": 20, "width": 32, "blocks": 1},
    "detector": {"steps": 5, "width": 32, "blocks": 1, "heads": 2, "batch_tokens": 256},
    "maps": {"size": 64, "smoothing": 1.0},
    "calibrate": {"target_fpr": 0.2},
    "evaluate": {"gallery_images": 1},
}


def picture(path: Path, seed: int, *, columns: bool, defect: bool = False) -> None:
    noise = np.random.default_rng(seed).normal(0, 12, (64, 64, 3))
    wave = 60 * np.sin(np.arange(64) * 0.8)
    grey = 128 + (wave[None, :, None] if columns else wave[:, None, None]) + noise
    if defect:
        grey[20:36, 24:40] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)


def fill(data: Path, category: str, seed: int) -> None:
    folder, columns = data / category, category == "bolt"
    for number in range(18):
        picture(folder / "train/good" / f"{number:03d}.png", seed + number, columns=columns)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:36, 24:40] = 255
    (folder / "ground_truth/hole").mkdir(parents=True)
    for number in range(5):
        name, at = f"{number:03d}", seed + 100 + number
        picture(folder / "test/good" / f"{name}.png", at, columns=columns)
        picture(folder / "test/hole" / f"{name}.png", at + 50, columns=columns, defect=True)
        Image.fromarray(mask).save(folder / "ground_truth/hole" / f"{name}_mask.png")


def run(params: Params, *stages: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for stage in stages:
            run_stage(stage, params)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a champion of bolt and nut in production."""
    root = tmp_path_factory.mktemp("trained")
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (root / ".gitignore").write_text("/artifacts\n/.normscape\n/data\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    fill(root / "data", "bolt", 0)
    fill(root / "data", "nut", 1000)
    params = load_params(root / "params.yaml")
    run(params, *STAGES)
    result = publish(params, reason="first")
    assert result.promoted, result.refusal
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Params:
    """A copy of it, to be changed."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    return load_params(root / "params.yaml")


def production(params: Params) -> Bundle:
    registry = open_registry(params)
    return Bundle.load(registry.get(PRODUCTION))


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    else:
        assert found == pytest.approx(expected, rel=1e-6)


def rows_of_test(params: Params) -> pd.DataFrame:
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    return manifest[manifest["split"] == "test"]


def test_a_bundle_brings_back_the_model(project: Params) -> None:
    bundle = production(project)
    assert set(bundle.categories) == {"bolt", "nut"} == set(bundle.model.categories)
    assert set(bundle.calibration.categories) == {"bolt", "nut"}
    assert bundle.identity.name == "tf_efficientnet_lite2"
    assert bundle.params.fingerprint() == project.fingerprint()
    assert {"path", "score", "sha256"} <= set(bundle.reference.columns)


def test_the_frozen_champion_repeats_its_own_figures(project: Params) -> None:
    again = rescore_champion(production(project), rows_of_test(project), project).metrics
    recorded = production(project).metrics
    assert set(again["categories"]) == set(recorded["categories"])
    for category, figures in recorded["categories"].items():
        assert_same(again["categories"][category], figures)


def test_it_keeps_its_own_backbone_when_todays_is_another(project: Params) -> None:
    other = project.backbone.model_copy(update={"input_size": 96, "levels": (2,)})
    today = project.model_copy(update={"backbone": other})
    again = rescore_champion(production(project), rows_of_test(project), today).metrics
    assert again["mean"] == pytest.approx(production(project).metrics["mean"], rel=1e-6)


def test_other_weights_under_the_same_name_are_refused(project: Params, tmp_path: Path) -> None:
    shutil.copytree(production(project).folder, tmp_path / "bundle")
    (tmp_path / "bundle").chmod(0o755)
    path = tmp_path / "bundle" / "backbone.json"
    path.chmod(0o644)
    write_json(path, read_json(path) | {"weights_sha256": "0" * 64})
    with pytest.raises(NormscapeError, match="weights of tf_efficientnet_lite2"):
        rescore_champion(seal(tmp_path / "bundle"), rows_of_test(project), project)


def test_images_the_champion_learned_from_are_left_out_for_both(project: Params) -> None:
    source = project.data / "bolt/train/good"
    for number in range(3):
        name = f"{number:03d}.png"
        (source / name).rename(project.data / "bolt/test/good" / f"moved-{name}")
    run(project, "manifest", "evaluate")  # the model itself may stay: the images have changed
    comparison = compare_with_champion(open_registry(project), "v0001", project)
    assert (comparison.images, comparison.left_out) == (20, 3)
    assert comparison.paired is not None
    ranked = comparison.paired.categories["bolt"].image_auroc
    assert ranked is not None
    assert ranked.images == 10
    whole = read_json(project.artifacts / "evaluation" / "metrics.json")
    assert whole["categories"]["bolt"]["images"] == {"normal": 8, "anomalous": 5}
    result = publish(project, reason="three images moved")
    assert result.champion == "v0001"
    assert any("3 test images were left out" in note for note in result.decision.notes)


def test_new_and_removed_categories(project: Params) -> None:
    (project.data / "nut").rename(project.data / "washer")
    run(project, "manifest", "evaluate")
    comparison = compare_with_champion(open_registry(project), "v0001", project)
    assert comparison.removed == ("nut",)
    assert comparison.paired is not None
    assert set(comparison.paired.categories) == {"bolt"}
    result = publish(project, reason="another product")
    notes = " ".join(result.decision.notes)
    assert "absolute thresholds only: washer" in notes
    assert "no longer to this model: nut" in notes


def test_nothing_in_common(project: Params) -> None:
    for name in ("bolt", "nut"):
        (project.data / name).rename(project.data / f"new-{name}")
    run(project, "manifest", "evaluate")
    comparison = compare_with_champion(open_registry(project), "v0001", project)
    assert (comparison.images, comparison.paired) == (0, None)
    assert any("shares no category" in n for n in publish(project, reason="x").decision.notes)


def test_a_damaged_champion_stops_the_gate(project: Params) -> None:
    path = production(project).folder / "model.safetensors"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(NormscapeError, match=r"model\.safetensors is damaged"):
        publish(project, reason="against a broken champion")
    assert open_registry(project).versions() == ["v0001"]


def test_a_model_against_itself_differs_in_nothing_and_passes(project: Params) -> None:
    result = publish(project, reason="the same again")
    assert result.promoted, result.refusal
    paired = result.decision.paired
    assert paired is not None
    for contrasts in (paired.overall, *paired.categories.values()):
        assert contrasts.localisation is not None
        for contrast in (contrasts.image_auroc, contrasts.escapes, contrasts.false_alarms):
            assert contrast is not None
            assert (contrast.low, contrast.high) == (0, 0)
    assert Bundle.load(open_registry(project).get("v0002")).gate == result.decision


def test_scores_of_other_images_stop_the_gate(project: Params) -> None:
    path = project.artifacts / "evaluation" / "scores.parquet"
    pd.read_parquet(path)[1:].to_parquet(path)
    with pytest.raises(UsageError, match="not the same; run dvc repro"):
        publish(project, reason="half evaluated")
    path.unlink()
    with pytest.raises(UsageError, match=r"scores\.parquet is missing"):
        publish(project, reason="not evaluated")


def test_weights_that_no_package_holds_travel_with_the_bundle(
    project: Params, tmp_path: Path
) -> None:
    """Made with a weights file; scored again where that file never was."""
    name = project.backbone.name
    packaged = locate("package", name, root=tmp_path, cache=tmp_path)
    save_file(load_weights(name, "package", packaged).tensors, project.root / "w.safetensors")
    content = PARAMS | {"backbone": PARAMS["backbone"] | {"weights": "w.safetensors"}}
    (project.root / "params.yaml").write_text(yaml.safe_dump(content))
    params = load_params(project.root / "params.yaml")
    run(params, *STAGES)
    target = tmp_path / "bundle"
    write_bundle(target, params, read_code_state(params.root), GateDecision(True, ()))
    (project.root / "w.safetensors").unlink()
    bundle = Bundle.load(target)
    assert Path(bundle.identity.weights) == (target / "backbone.safetensors").resolve()
    assert str(tmp_path) not in (target / "backbone.json").read_text()
    picture(tmp_path / "image.png", 1, columns=True)
    scorer = Scorer.open(bundle, root=tmp_path / "nowhere", cache=tmp_path / "cache")
    found = scorer.score([read_image(tmp_path / "image.png")])
    assert np.isfinite(found[0].score)
