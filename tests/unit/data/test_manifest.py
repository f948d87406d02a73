from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from normscape.data.layouts import Entry
from normscape.data.manifest import (
    SCHEMA,
    build_manifest,
    category_counts,
    read_manifest,
    write_manifest,
)
from normscape.data.scan import image_facts, mask_facts, refuse_escapes
from normscape.errors import DataError, UsageError
from normscape.files import sha256_file
from normscape.sections.data import ManifestParams

Put = Callable[..., Path]
PARAMS = ManifestParams()


def test_rows(mvtec: Callable[..., Path]) -> None:
    root = mvtec()
    frame = build_manifest(root, PARAMS, progress=False)
    assert list(frame.columns) == SCHEMA.names
    assert len(frame) == 72
    assert frame["path"].is_monotonic_increasing
    row = frame.set_index("path").loc["bolt/test/dent/000.png"]
    assert row["sha256"] == sha256_file(root / "bolt/test/dent/000.png") == row["group"]
    assert (row["split"], row["label"], row["defect_type"]) == ("test", 1, "dent")
    assert (row["width"], row["height"], row["channels"]) == (40, 36, 3)
    assert (row["mask_width"], row["mask_height"], row["mask_pixels"]) == (40, 36, 30)
    assert row["file_size"] == (root / "bolt/test/dent/000.png").stat().st_size
    assert frame["error"].isna().all() and frame["mask_error"].isna().all()
    assert frame.loc[frame["label"] == 0, "mask"].isna().all()
    counts = category_counts(frame).set_index("category")
    assert counts.loc["bolt", "train"] + counts.loc["bolt", "calibration"] == 30
    assert counts.loc["bolt", ["test_normal", "test_anomalous"]].tolist() == [3, 3]


def test_written_and_read_again(mvtec: Callable[..., Path], tmp_path: Path) -> None:
    root = mvtec(categories=("bolt",))
    (root / "bolt/test/good/000.png").write_bytes(b"")
    frame = build_manifest(root, PARAMS, progress=False)
    write_manifest(tmp_path / "a" / "m.parquet", frame)
    again = read_manifest(tmp_path / "a" / "m.parquet")
    assert again.equals(frame)
    assert again.dtypes.equals(frame.dtypes)
    assert str(again["mask_pixels"].dtype) == "Int64"
    # Two scans of the same files give the same bytes, whatever the threads did.
    write_manifest(tmp_path / "b.parquet", build_manifest(root, PARAMS, progress=False))
    assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "a/m.parquet").read_bytes()


def test_reading_what_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    with pytest.raises(UsageError, match="is missing; run `normscape manifest`"):
        read_manifest(path)
    path.write_bytes(b"PAR1 and more")
    with pytest.raises(UsageError, match="cannot be read"):
        read_manifest(path)


def test_damaged_files_are_rows_with_an_error(mvtec: Callable[..., Path]) -> None:
    root = mvtec(categories=("bolt",))
    broken = root / "bolt/train/good/003.png"
    broken.write_bytes(broken.read_bytes()[:300])
    (root / "bolt/ground_truth/dent/001_mask.png").write_bytes(b"no mask")
    frame = build_manifest(root, PARAMS, progress=False).set_index("path")
    row = frame.loc["bolt/train/good/003.png"]
    assert "cannot be decoded" in row["error"]
    assert row["sha256"] == sha256_file(broken)
    assert row["width"] == 0
    assert "not an image" in frame.loc["bolt/test/dent/001.png", "mask_error"]
    assert frame["error"].notna().sum() == frame["mask_error"].notna().sum() == 1


def test_facts_of_missing_and_unreadable_files(tmp_path: Path) -> None:
    assert image_facts(tmp_path / "gone.png").error == "the file is missing"
    assert mask_facts(tmp_path / "gone.png").mask_error == "the file is missing"
    (tmp_path / "folder.png").mkdir()
    assert "Is a directory" in str(image_facts(tmp_path / "folder.png").error)
    assert "Is a directory" in str(mask_facts(tmp_path / "folder.png").mask_error)


def test_escapes_are_refused(tmp_path: Path, put: Put) -> None:
    secret = put(tmp_path / "secret.png")
    inside = put(tmp_path / "data" / "bolt" / "good" / "1.png")
    root = (tmp_path / "data").resolve()
    link = inside.with_name("2.png")
    link.symlink_to(secret)
    own = inside.with_name("3.png")
    own.symlink_to(inside)
    for path in ("../secret.png", "/etc/hosts", "bolt/good/2.png", "bolt/../bolt/good/1.png"):
        with pytest.raises(DataError, match="1 paths lead out of the data folder"):
            refuse_escapes(root, [Entry(path, "bolt", None, "good")])
        with pytest.raises(DataError, match="lead out"):
            refuse_escapes(root, [Entry("bolt/good/1.png", "bolt", "test", "x", mask=path)])
    refuse_escapes(root, [Entry("bolt/good/3.png", "bolt", None, "good")])
    with pytest.raises(DataError, match=r"bolt/good/2\.png"):
        build_manifest(root, PARAMS, progress=False)


def test_the_data_folder_itself_may_be_a_link(mvtec: Callable[..., Path], tmp_path: Path) -> None:
    root = mvtec(tmp_path / "disk", ("bolt",))
    (tmp_path / "data").symlink_to(root)
    assert len(build_manifest(tmp_path / "data", PARAMS, progress=False)) == 36


def test_copies_stay_together_and_groups_by_name(tmp_path: Path, put: Put) -> None:
    root = tmp_path / "data"
    for number in range(40):
        first = put(root / "bolt" / "good" / f"part{number // 4}-r1-{number}.png")
        (first.with_name(f"copy-{number}.png")).write_bytes(first.read_bytes())
    grouped = ManifestParams(group_pattern=r"^(?P<group>part\d+-r1)-")
    frame = build_manifest(root, grouped, progress=False)
    alone = frame[frame["path"].str.contains("copy")]
    assert (alone["group"] == alone["sha256"]).all()
    assert (frame.groupby("group")["split"].nunique() == 1).all()
    named = frame[~frame["path"].str.contains("copy")]
    assert set(named["group"]) == {f"part{i}-r1" for i in range(10)}
    frame = build_manifest(root, PARAMS, progress=False)
    assert (frame.groupby("sha256")["split"].nunique() == 1).all()


def test_adding_images_moves_none(mvtec: Callable[..., Path], put: Put) -> None:
    root = mvtec(categories=("bolt",))
    params = ManifestParams(calibration_min_images=1)
    before = build_manifest(root, params, progress=False).set_index("path")["split"]
    for number in range(20):
        put(root / "bolt" / "train" / "good" / f"0{number}-new.png")
    after = build_manifest(root, params, progress=False).set_index("path")["split"]
    assert after[before.index].equals(before)


def test_an_image_listed_twice(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "bolt/a.png")
    (tmp_path / "split_csv").mkdir()
    row = "bolt,train,normal,bolt/a.png,\n"
    (tmp_path / "split_csv" / "1cls.csv").write_text("object,split,label,image,mask\n" + row + row)
    with pytest.raises(DataError, match=r"bolt/a\.png is listed twice"):
        build_manifest(tmp_path, PARAMS, progress=False)
