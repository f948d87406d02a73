from pathlib import Path

import pytest

from normscape.errors import UsageError
from normscape.params import Params, load_params

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_the_committed_parameters_are_valid_and_complete() -> None:
    params = load_params(ROOT / "params.yaml")
    listed = set(__import__("yaml").safe_load((ROOT / "params.yaml").read_text()))
    known = {field.alias or name for name, field in Params.model_fields.items()} - {"root"}
    assert listed == known
    assert params.root == ROOT


def test_paths_are_resolved_against_the_folder_of_the_file(tmp_path: Path) -> None:
    params = load_params(write(tmp_path, "paths: {data: images}"))
    assert params.data == tmp_path / "images"
    assert params.state == tmp_path / ".normscape"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detector: {stepz: 3}", "unknown parameter 'detector.stepz'"),
        ("detektor: {}", "unknown parameter 'detektor'"),
        ("root: /elsewhere", "unknown parameter 'root'"),
        ("calibrate: {target_fpr: 1.5}", "'calibrate.target_fpr' is 1.5"),
        ("manifest: {group_pattern: '(a'}", "not a regular expression"),
        ("manifest: {group_pattern: 'a'}", "named group"),
        ("- a list", "expected sections"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_explained_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_params(write(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        load_params(tmp_path / "params.yaml")


def test_the_fingerprint_follows_what_shapes_a_model(tmp_path: Path) -> None:
    base = load_params(write(tmp_path, "{}"))
    gate = load_params(write(tmp_path, "gate: {champion_tolerance: 0.5}"))
    steps = load_params(write(tmp_path, "detector: {steps: 7}"))
    assert base.fingerprint() == gate.fingerprint() != steps.fingerprint()
    assert base.fingerprint("manifest") == steps.fingerprint("manifest")


def test_what_another_release_recorded_is_read_without_what_is_no_parameter(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("monitor: {defect_share: 0.2, min_images: 9}\nwaffles: {}\n")
    assert load_params(path, recorded=True).monitor.min_images == 9
    path.write_text("monitor: {defect_share: 0.2, min_images: many}\n")
    with pytest.raises(UsageError, match=r"monitor\.min_images"):
        load_params(path, recorded=True)
