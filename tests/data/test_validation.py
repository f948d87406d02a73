"""Sound and damaged data sets through the two stages, as the command line runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.data.expectations import check_manifest
from normscape.data.manifest import SCHEMA, build_manifest, category_counts, read_manifest
from normscape.errors import DataError, NormscapeError, UsageError
from normscape.params import Params
from normscape.sections.data import ManifestParams, PathParams, ValidateParams
from normscape.stages import manifest as manifest_stage
from normscape.stages import validate as validate_stage

REALBENCH = Path(__file__).resolve().parents[3] / "shared" / "realbench"
SIZE = (36, 40)

pytestmark = pytest.mark.slow


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def defect(size: tuple[int, int] = SIZE, value: int = 255) -> Image.Image:
    pixels = np.zeros(size, np.uint8)
    pixels[3:9, 4:8] = value
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories in the MVTec layout, one of them without masks."""
    root = tmp_path_factory.mktemp("sound") / "data"
    seed = 0
    for category in ("bolt", "nut"):
        for folder, count in (("train/good", 40), ("test/good", 3), ("test/dent", 5)):
            (root / category / folder).mkdir(parents=True)
            for number in range(count):
                seed += 1
                picture(seed).save(root / category / folder / f"{number:03}.png")
    (root / "bolt/ground_truth/dent").mkdir(parents=True)
    for number in range(5):
        defect().save(root / f"bolt/ground_truth/dent/{number:03}_mask.png")
    return root


@pytest.fixture
def project(sound: Path, tmp_path: Path) -> Params:
    """A project with its own copy of the sound data."""
    shutil.copytree(sound, tmp_path / "data")
    return Params(root=tmp_path)


def stages(params: Params) -> dict[str, object]:
    manifest_stage.run(params)
    try:
        validate_stage.run(params)
    finally:
        path = params.artifacts / "validation" / "result.json"
        result: dict[str, object] = json.loads(path.read_text())
    return result


def failures(params: Params) -> list[dict[str, object]]:
    result = json.loads((params.artifacts / "validation" / "result.json").read_text())
    return [entry for entry in result["expectations"] if not entry["success"]]


def test_sound_data_pass(project: Params, capfd: pytest.CaptureFixture[str]) -> None:
    result = stages(project)
    assert result["success"] is True
    docs = project.artifacts / "validation" / "data_docs"
    index = (docs / "index.html").read_text()
    assert "images" in index and "categories" in index
    pages = list(docs.rglob("validations/**/*.html"))
    assert len(pages) == 2
    text = "".join(page.read_text() for page in docs.rglob("*.html"))
    assert "every image can be decoded completely" in text
    assert "great-expectations-web-assets" not in text
    output = capfd.readouterr()
    assert "bolt: " in output.err and "expectations met" in output.err
    assert output.out == ""
    # The result names no time, no machine: the same data give the same bytes.
    first = (project.artifacts / "validation" / "result.json").read_bytes()
    validate_stage.run(project)
    assert (project.artifacts / "validation" / "result.json").read_bytes() == first
    assert not list(project.artifacts.glob(".*"))


def test_the_same_data_give_the_same_pages(project: Params) -> None:
    def written() -> dict[str, bytes]:
        stages(project)
        folder = project.artifacts / "validation"
        return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = written()
    assert any(path.endswith(".html") for path in first)
    assert written() == first


def test_a_truncated_png_stops_the_run(project: Params) -> None:
    path = project.data / "nut/train/good/007.png"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"decoded completely; .*nut/train/good/007\.png") as info:
        stages(project)
    assert info.value.exit_code == 1
    assert "\n" not in str(info.value)
    assert "index.html" in str(info.value)
    (failed,) = failures(project)
    assert failed["name"] == "decodable"
    assert failed["files"] == ["nut/train/good/007.png"]
    assert "truncated" in str(failed["found"])
    assert (project.artifacts / "validation/data_docs/index.html").is_file()


def test_everything_wrong_at_once_is_told_at_once(project: Params) -> None:
    data = project.data
    picture(900, (36, 20)).save(data / "bolt/train/good/000.png")
    shutil.copy(data / "bolt/train/good/001.png", data / "bolt/test/good/copy.png")
    defect((36, 41)).save(data / "bolt/ground_truth/dent/000_mask.png")
    (data / "bolt/ground_truth/dent/001_mask.png").write_bytes(b"")
    (data / "bolt/ground_truth/dent/002_mask.png").unlink()
    defect(value=0).save(data / "bolt/ground_truth/dent/003_mask.png")
    with pytest.raises(DataError) as info:
        stages(project)
    found = {entry["name"]: entry for entry in failures(project)}
    assert {name: entry["files"] for name, entry in found.items()} == {
        "large_enough": ["bolt/train/good/000.png"],
        "one_split": ["bolt/test/good/copy.png", "bolt/train/good/001.png"],
        "mask_size": ["bolt/test/dent/000.png"],
        "mask_readable": ["bolt/test/dent/001.png"],
        "mask_present": ["bolt/test/dent/002.png"],
        "mask_not_empty": ["bolt/test/dent/003.png"],
    }
    assert found["mask_size"]["found"] == "1 image, the first: mask 41x36, image 40x36"
    assert "also bolt/train/good/001.png" in str(found["one_split"]["found"])
    assert found["mask_not_empty"]["category"] == "bolt"
    for name in found:
        assert str(found[name]["files"][0]) in str(info.value)  # type: ignore[index]


def test_a_category_with_one_image_gives_one_line(project: Params) -> None:
    (project.data / "cap/train/good").mkdir(parents=True)
    picture(901).save(project.data / "cap/train/good/0.png")
    with pytest.raises(DataError) as info:
        stages(project)
    message = str(info.value)
    assert "\n" not in message
    assert message.count("category 'cap' has") == 1
    assert "at least 8 training images (validate.min_train)" in message
    assert "0 normal test images, expected at least 1" in message
    assert {entry["category"] for entry in failures(project)} == {"cap"}


def test_an_empty_category_is_named_by_the_manifest(project: Params) -> None:
    (project.data / "cap").mkdir()
    with pytest.raises(DataError, match=r"category 'cap' holds no images .*add them or remove"):
        manifest_stage.run(project)
    assert not project.artifacts.exists()


def test_a_failure_replaces_the_last_success(project: Params) -> None:
    assert stages(project)["success"] is True
    strict = project.model_copy(update={"validation": ValidateParams(min_train=1000)})
    with pytest.raises(DataError, match=r"category 'bolt' has .*; category 'nut' has"):
        validate_stage.run(strict)
    assert len(failures(strict)) == 2


def test_tolerated_empty_masks_are_named(
    project: Params, capfd: pytest.CaptureFixture[str]
) -> None:
    defect(value=0).save(project.data / "bolt/ground_truth/dent/003_mask.png")
    lenient = project.model_copy(update={"validation": ValidateParams(max_empty_mask_share=0.2)})
    assert stages(lenient)["success"] is True
    assert "tolerated: category 'bolt' has 1 mask" in capfd.readouterr().err


def test_groups_and_defects_on_the_wrong_side(project: Params, tmp_path: Path) -> None:
    params = ManifestParams(group_pattern=r"^(?P<group>s\d)-")
    names = ("train/good/s1-a", "test/good/s1-b", "test/good/s2-c", "test/dent/s2-d")
    for seed, name in enumerate(names, 910):
        picture(seed).save(project.data / "nut" / f"{name}.png")
    frame = build_manifest(project.data, params, progress=False)
    frame.loc[frame["path"] == "nut/test/dent/000.png", "split"] = "train"
    findings = check_manifest(frame, ValidateParams(), tmp_path / "docs")
    failed = {finding.name: finding for finding in findings if not finding.success}
    assert set(failed) == {"group_together", "normal_training"}
    assert failed["group_together"].files == ("nut/test/good/s1-b.png", "nut/train/good/s1-a.png")
    assert failed["normal_training"].files == ("nut/test/dent/000.png",)


def test_no_rows_at_all(sound: Path, tmp_path: Path) -> None:
    frame = build_manifest(sound, ManifestParams(), progress=False).iloc[:0]
    findings = check_manifest(frame, ValidateParams(), tmp_path)
    assert [finding.name for finding in findings if not finding.success] == ["any_category"]
    assert list(frame.columns) == SCHEMA.names


def test_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `normscape manifest` first"):
        validate_stage.run(Params(root=tmp_path))


def test_a_folder_that_cannot_be_written(project: Params, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    blocked = project.model_copy(update={"paths": PathParams(artifacts=Path("taken"))})
    with pytest.raises(NormscapeError, match=r"cannot write .*taken"):
        manifest_stage.run(blocked)


@pytest.mark.realbench
@pytest.mark.skipif(not REALBENCH.is_dir(), reason="needs ../shared/realbench")
def test_real_categories(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(REALBENCH)
    params = Params(root=tmp_path)
    assert stages(params)["success"] is True
    frame = read_manifest(params.artifacts / "manifest.parquet")
    counts = category_counts(frame).set_index("category")
    assert (counts["calibration"] >= 12).all()
    assert counts["train"].add(counts["calibration"]).to_dict() == {
        "biscuit": 35,
        "bottle": 209,
        "magnetic_tile": 300,
    }
    assert frame.loc[frame["category"] == "biscuit", "mask"].isna().all()
