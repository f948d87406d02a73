"""The folder as a whole: its layout, and that size and workers change no picture."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from normscape.cli.data import data_app
from normscape.data.manifest import build_manifest
from normscape.data.synth import ScaleSet, build_scale_set
from normscape.errors import UsageError
from normscape.sections.data import ManifestParams

PLAN = ScaleSet(3, seed=5, train=3, test_normal=2, test_anomalous=7, test_categories=2, size=64)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.png")
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "set"
    build_scale_set(folder, PLAN, workers=1, progress=False)
    return folder


def test_the_manifest_reads_it(made):
    frame = build_manifest(made, ManifestParams(), progress=False)
    assert len(frame) == PLAN.pictures == 3 * 3 + 2 * (2 + 7)
    assert frame["error"].isna().all()
    anomalous = frame[frame["label"] == 1]
    assert len(anomalous) == 14
    assert (anomalous["mask_pixels"] > 0).all()
    assert anomalous.groupby("category")["defect_type"].nunique().eq(6).all()
    assert frame["sha256"].is_unique


def test_only_the_first_categories_are_tested(made):
    names = sorted(folder.name for folder in made.iterdir())
    assert [name[:4] for name in names] == ["000_", "001_", "002_"]
    assert [(made / name / "test").is_dir() for name in names] == [True, True, False]


@pytest.mark.slow
def test_a_larger_set_of_other_workers_contains_it(made, tmp_path):
    larger = ScaleSet(4, 5, train=4, test_normal=3, test_anomalous=8, test_categories=2, size=64)
    build_scale_set(tmp_path / "larger", larger, workers=2, progress=False)
    assert hashes(made).items() <= hashes(tmp_path / "larger").items()


def test_another_seed_is_another_set(made, tmp_path):
    build_scale_set(tmp_path / "set", ScaleSet(1, 6, 1, 1, 1, 0, 64), workers=1, progress=False)
    assert not set(hashes(made).values()) & set(hashes(tmp_path / "set").values())


def test_sizes(made):
    for path in made.rglob("*.png"):
        with Image.open(path) as image:
            assert image.size == (64, 64)
            if "ground_truth" in path.parts:
                assert set(np.unique(np.asarray(image))) == {0, 255}


def test_a_filled_folder_is_kept_unless_forced(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    plan = ScaleSet(1, train=1, test_categories=0, size=64)
    with pytest.raises(UsageError, match="--force"):
        build_scale_set(tmp_path, plan, workers=1, progress=False)
    assert (tmp_path / "mine.txt").exists()
    build_scale_set(tmp_path, plan, workers=1, force=True, progress=False)
    assert [path.name[:3] for path in tmp_path.iterdir()] == ["000"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "set").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        build_scale_set(tmp_path / "set", PLAN, force=True, progress=False)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"categories": 0}, "--categories is 0; expected a number from 1 to 200"),
        ({"categories": 201}, "--categories is 201"),
        ({"seed": -1}, "--seed is -1; expected a number of 0 or more"),
        ({"train": 0}, "--train is 0"),
        ({"test_normal": 0}, "--test-normal is 0"),
        ({"test_anomalous": 0}, "--test-anomalous is 0"),
        ({"test_categories": 6}, "--test-categories is 6; expected a number from 0 to 5"),
        ({"size": 63}, "--size is 63"),
    ],
)
def test_a_number_out_of_range_is_named(wrong, named):
    with pytest.raises(UsageError, match=named):
        ScaleSet(**{"categories": 5, **wrong})


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("no picture")

    monkeypatch.setattr("normscape.data.synth.build.render", broken)
    with pytest.raises(RuntimeError, match="no picture"):
        build_scale_set(tmp_path / "set", PLAN, workers=1, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path):
    runner = CliRunner()
    shown = runner.invoke(data_app, ["synth", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    for option in ("--categories", "--test-categories", "--workers", "--force"):
        assert option in shown.output
    numbers = [
        "--categories",
        "1",
        "--train",
        "1",
        "--test-categories",
        "0",
        "--size",
        "64",
        "--workers",
        "1",
    ]
    done = runner.invoke(data_app, ["synth", *numbers, "--out", str(tmp_path / "set")])
    assert done.exit_code == 0
    assert "1 images of 1 categories, 0 of them with test images" in done.output
    again = runner.invoke(data_app, ["synth", *numbers, "--out", str(tmp_path / "set")])
    assert isinstance(again.exception, UsageError)
    assert again.exception.exit_code == 2
    none = runner.invoke(
        data_app, ["synth", *numbers, "--workers", "0", "--out", str(tmp_path / "b")]
    )
    assert "--workers is 0" in str(none.exception)
