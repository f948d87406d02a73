"""Bundles collected from the artifacts of a run."""

import json
from pathlib import Path

import pytest

from normscape.errors import UsageError
from normscape.params import Params
from normscape.registry.bundle import REQUIRED, Bundle
from normscape.registry.code import CodeState, read_code_state
from normscape.registry.gate import decide
from normscape.registry.writer import write_bundle

from .project import make_project, manifest, metrics


@pytest.fixture
def project(tmp_path: Path) -> Params:
    return make_project(tmp_path / "project")


def write(params: Params, target: Path, code: CodeState | None = None) -> Bundle:
    decision = decide(metrics(), None, params.gate)
    write_bundle(target, params, code or read_code_state(params.root), decision)
    return Bundle.load(target)


def test_the_bundle_holds_everything(project: Params, tmp_path: Path) -> None:
    bundle = write(project, tmp_path / "bundle")
    assert set(bundle.files) == {*REQUIRED, "novelty.json", "novelty.safetensors"}
    assert bundle.categories == ("bolt", "nut")
    assert set(bundle.calibration.categories) == {"bolt", "nut"}
    assert len(bundle.reference) == 16
    assert bundle.metrics == metrics()
    assert bundle.gate.passed
    assert bundle.data_version == "0123abcd.dir"
    assert bundle.params.gate.min_mean_image_auroc == 0.7
    assert not bundle.provenance.code.dirty
    assert bundle.provenance.packages["torch"]
    rows = manifest()
    used = rows.loc[rows["split"] != "test", "sha256"]
    assert bundle.images == frozenset(used)
    assert bundle.images.isdisjoint(rows.loc[rows["split"] == "test", "sha256"])


def test_the_same_model_gives_the_same_content(project: Params, tmp_path: Path) -> None:
    first, second = write(project, tmp_path / "a"), write(project, tmp_path / "b")
    assert first.content_id == second.content_id


def test_it_names_no_place_of_this_machine(project: Params, tmp_path: Path) -> None:
    bundle = write(project, tmp_path / "bundle")
    for name in (*bundle.files, "bundle.json"):
        content = (bundle.folder / name).read_bytes()
        assert str(tmp_path).encode() not in content
        assert str(Path.home()).encode() + b"/" not in content


def test_the_model_card_tells_people_what_they_need(project: Params, tmp_path: Path) -> None:
    card = (write(project, tmp_path / "bundle").folder / "model_card.md").read_text()
    for told in (
        "## Intended use",
        "## Limitations",
        "| bolt | 10 | 8 | 5 | 5 |",
        "| *mean* | 0.900 | - |",
        "1 of 5 | 0.200 (0.005 to 0.720)",
        "**passed**",
        "data: 0123abcd.dir",
        "bolt: a licence",
    ):
        assert told in card, told
    assert "of no concern" not in card


def test_a_dirty_checkout_is_recorded(project: Params, tmp_path: Path) -> None:
    (project.root / ".gitignore").write_text("/artifacts\n/.normscape\n/other\n")
    code = write(project, tmp_path / "bundle").provenance.code
    assert code.dirty
    assert code.changed == (".gitignore",)


@pytest.mark.parametrize(
    "name",
    ["detector/model.safetensors", "calibration/calibration.json", "evaluation/metrics.json",
     "features/backbone.json", "manifest.parquet", "../dvc.lock"],
)  # fmt: skip
def test_a_stage_that_has_not_run_is_named(project: Params, tmp_path: Path, name: str) -> None:
    (project.artifacts / name).resolve().unlink()
    with pytest.raises(UsageError, match=f"{Path(name).name} is missing"):
        write(project, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.glob(".bundle*"))


def test_parameters_changed_after_training_are_refused(project: Params, tmp_path: Path) -> None:
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("0.7", "0.1"))
    with pytest.raises(UsageError, match="stage 'detector' ran with other values of 'gate'"):
        write(project, tmp_path / "bundle")


def test_a_model_and_thresholds_of_different_runs_are_refused(
    project: Params, tmp_path: Path
) -> None:
    path = project.artifacts / "detector" / "model.json"
    path.write_text(json.dumps({"categories": ["bolt"]}))
    with pytest.raises(UsageError, match="bolt, nut"):
        write(project, tmp_path / "bundle")


def test_unversioned_data_are_recorded_as_such(project: Params, tmp_path: Path) -> None:
    (project.root / "data.dvc").unlink()
    bundle = write(project, tmp_path / "bundle")
    assert bundle.data_version is None
    assert "data: not versioned" in (bundle.folder / "model_card.md").read_text()
    (project.root / "data.dvc").write_text("outs: []\n")
    with pytest.raises(UsageError, match=r"data\.dvc pins no folder"):
        write(project, tmp_path / "again")
