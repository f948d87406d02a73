from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from normscape.data.layouts import Entry, detect, read_layout
from normscape.errors import DataError, UsageError

Put = Callable[..., Path]


def read(root: Path, layout: str = "auto") -> list[Entry]:
    return sorted(read_layout(root, layout), key=lambda entry: entry.path)


def test_mvtec(mvtec: Callable[..., Path], put: Put) -> None:
    root = mvtec(categories=("bolt",))
    put(root / "bolt" / "test" / "bent" / "a.JPG")
    (root / "readme.txt").write_text("terms")
    (root / ".cache").mkdir()
    put(root / "bolt" / "train" / "good" / ".hidden.png")
    entries = read(root)
    assert detect(root) == "mvtec"
    assert len(entries) == 37
    assert entries[0] == Entry("bolt/test/bent/a.JPG", "bolt", "test", "bent")
    assert entries[1] == Entry(
        "bolt/test/dent/000.png", "bolt", "test", "dent", "bolt/ground_truth/dent/000_mask.png"
    )
    assert entries[4] == Entry("bolt/test/good/000.png", "bolt", "test", "good")
    assert entries[-1] == Entry("bolt/train/good/029.png", "bolt", "train", "good")
    assert [entry.label for entry in (entries[0], entries[4])] == [1, 0]


def test_mvtec_masks_without_suffix_and_in_sub_folders(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "bolt/train/good/1.png")
    put(tmp_path / "bolt/test/dent/line2/7.jpg")
    put(tmp_path / "bolt/ground_truth/dent/line2/7.png")
    masks = [entry.mask for entry in read(tmp_path)]
    assert masks == ["bolt/ground_truth/dent/line2/7.png", None]


def test_masks_that_fit_no_image_are_refused(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "bolt/train/good/1.png")
    put(tmp_path / "bolt/test/dent/7.jpg")
    put(tmp_path / "bolt/ground_truth/dent/7_segmentation.png")
    with pytest.raises(DataError, match=r"1 masks \(such as 7_segmentation\.png\) but none fits"):
        read(tmp_path)


@pytest.mark.parametrize("extra", ["bolt/scrap/1.png", "bolt/1.png"])
def test_mvtec_by_name_refuses_what_it_would_ignore(tmp_path: Path, put: Put, extra: str) -> None:
    put(tmp_path / "bolt/train/good/1.png")
    put(tmp_path / extra)
    with pytest.raises(DataError, match="does not belong to the MVTec layout"):
        read(tmp_path, "mvtec")


def test_visa(tmp_path: Path, put: Put) -> None:
    rows = [
        "object,split,label,image,mask",
        "pcb1,train,normal,pcb1/Data/Images/Normal/0.JPG,",
        "pcb1,test,normal,pcb1/Data/Images/Normal/1.JPG,",
        "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/0.JPG,pcb1/Data/Masks/Anomaly/0.png",
        "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/1.JPG,pcb1/Data/Masks/Anomaly/1.png",
        "fryum,test,anomaly,fryum/Data/Images/Anomaly/1.JPG,fryum/Data/Masks/Anomaly/1.png",
    ]
    for row in rows[1:]:
        put(tmp_path / row.split(",")[3])
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "pcb1" / "image_anno.csv").write_text(
        "image,label,mask\n"
        "pcb1/Data/Images/Normal/0.JPG,normal,\n"
        "pcb1/Data/Images/Anomaly/0.JPG,melt,x\n"
        'pcb1/Data/Images/Anomaly/1.JPG,"bent,melt",x\n'
    )
    assert detect(tmp_path) == "visa"
    entries = read(tmp_path)
    assert [(entry.side, entry.defect_type) for entry in entries] == [
        ("test", "anomaly"),
        ("test", "melt"),
        ("test", "combined"),
        ("train", "good"),
        ("test", "good"),
    ]
    assert entries[1].mask == "pcb1/Data/Masks/Anomaly/0.png"
    assert entries[3].mask is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("object,split,image,mask\n", "column 'label' is missing"),
        ("object,split,label,image,mask\npcb1,val,normal,a.png,\n", "line 2: found split 'val'"),
        ("object,split,label,image,mask\npcb1,train,normal\n", "line 2: .*image ''"),
        ("object,split,label,image,mask\npcb1,train,bad,a.png,\n", "label 'bad'"),
    ],
)
def test_visa_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def realiad(root: Path, put: Put, folder: str = "realiad_jsons/realiad_jsons") -> Path:
    records = {
        "train": [("OK", f"OK/S000{part}/bolt_{part}_C{view}.jpg", None)
                  for part in (1, 2) for view in (1, 2)],
        "test": [
            ("OK", "OK/S0009/bolt_9_C1.jpg", None),
            ("HS", "NG/HS/S0010/bolt_10_C1.jpg", "NG/HS/S0010/bolt_10_C1.png"),
        ],
    }  # fmt: skip
    content: dict[str, object] = {"meta": {"normal_class": "OK", "prefix": "bolt/"}}
    for side, rows in records.items():
        content[side] = [
            {"category": "bolt", "anomaly_class": kind, "image_path": image, "mask_path": mask}
            for kind, image, mask in rows
        ]
        for _, image, mask in rows:
            put(root / "realiad_256" / "bolt" / image)
            if mask:
                put(root / "realiad_256" / "bolt" / mask)
    path = root / folder / "bolt.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("folder", ["realiad_jsons/realiad_jsons", "realiad_jsons", "."])
def test_realiad(tmp_path: Path, put: Put, folder: str) -> None:
    realiad(tmp_path, put, folder)
    assert detect(tmp_path) == "realiad"
    entries = read(tmp_path)
    assert entries[0] == Entry(
        "realiad_256/bolt/NG/HS/S0010/bolt_10_C1.jpg",
        "bolt",
        "test",
        "HS",
        "realiad_256/bolt/NG/HS/S0010/bolt_10_C1.png",
        "NG/HS/S0010",
    )
    assert [entry.group for entry in entries[1:]] == ["OK/S0001"] * 2 + ["OK/S0002"] * 2 + [
        "OK/S0009"
    ]
    assert all((tmp_path / entry.path).is_file() for entry in entries)


def test_realiad_damage_is_named(tmp_path: Path, put: Put) -> None:
    path = realiad(tmp_path, put)
    (tmp_path / "realiad_512").mkdir()
    with pytest.raises(DataError, match="realiad_256 and realiad_512, the same images"):
        read(tmp_path)
    (tmp_path / "realiad_512").rmdir()
    content = json.loads(path.read_text())
    content["test"].append({"image_path": "a.jpg"})
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"bolt\.json: a record of 'test'"):
        read(tmp_path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(DataError, match=r"bolt\.json cannot be read as JSON"):
        read(tmp_path)
    path.write_text("{}")
    with pytest.raises(DataError, match=r"expected meta\.normal_class"):
        read(tmp_path)


def test_plain_folders(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "bolt/OK/1.png")
    put(tmp_path / "bolt/OK/monday/2.png")
    put(tmp_path / "bolt/rust/1.png")
    put(tmp_path / "bolt/masks/rust/1.png")
    put(tmp_path / "nut/1.png")
    put(tmp_path / "cap/train/1.png")
    put(tmp_path / "cap/test/normal/1.png")
    put(tmp_path / "cap/test/crack/1.png")
    assert detect(tmp_path) == "folder"
    assert read(tmp_path) == [
        Entry("bolt/OK/1.png", "bolt", None, "good"),
        Entry("bolt/OK/monday/2.png", "bolt", None, "good"),
        Entry("bolt/rust/1.png", "bolt", "test", "rust", "bolt/masks/rust/1.png"),
        Entry("cap/test/crack/1.png", "cap", "test", "crack"),
        Entry("cap/test/normal/1.png", "cap", "test", "good"),
        Entry("cap/train/1.png", "cap", "train", "good"),
        Entry("nut/1.png", "nut", None, "good"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["nut/good/1.png", "bolt/"], "category 'bolt' holds no images"),
        (["nut/train/good/1.png", "bolt/train/good/"], "category 'bolt' holds no images"),
        (["nut/good/1.png", "bolt/rust/1.png"], "category 'bolt' holds no normal images"),
        (["bolt/good/1.png", "bolt/2.png"], r"2\.png \(1 images in all\) lies beside folders"),
        (["bolt/train/1.png", "bolt/rust/2.png"], "holds 'train' and beside it 'rust'"),
        (["bolt/train/rust/1.png"], "only normal images may be in train"),
        (["bolt/train/good/1.png", "bolt/test/1.png"], "lies directly in test"),
        (["bolt/good/1.png", "1.png"], "lies directly in the data folder"),
        (["train/good/1.png", "test/good/1.png"], "looks like one category"),
        (["Good/1.png", "rust/1.png"], "looks like one category"),
        ([], "unknown layout .* found no folders, looked for visa .* mvtec .* folder"),
        (["bolt/"], "unknown layout .* found the folders bolt, looked for"),
    ],
)
def test_what_is_not_clear_is_refused(
    tmp_path: Path, put: Put, files: list[str], message: str
) -> None:
    for name in files:
        if name.endswith("/"):
            (tmp_path / name).mkdir(parents=True)
        else:
            put(tmp_path / name)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_missing_data_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data folder .* is missing; run `make data`"):
        read(tmp_path / "data")


def test_links_to_folders_are_refused(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "elsewhere/train/good/1.png")
    put(tmp_path / "data/bolt/train/good/1.png")
    (tmp_path / "data" / "nut").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="nut is a link to a folder"):
        read(tmp_path / "data")


def test_names_that_no_table_can_hold(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "bolt/good/1.png")
    (tmp_path / "bolt/good/1.png").rename(tmp_path / "bolt/good" / "\udcff.png")
    with pytest.raises(DataError, match="not UTF-8"):
        read(tmp_path)
