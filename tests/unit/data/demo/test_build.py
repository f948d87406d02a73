"""The demo as a whole: real packages, real bytes, and the roles kept apart."""

import csv
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.data.demo import ARRIVAL_DAY, DRIFT_DAY, FEED_DAYS, build_demo, fill_demo
from normscape.data.demo import sources as sources_module
from normscape.data.demo.build import TRUTH_FILE
from normscape.data.demo.sources import solar_cells, texture
from normscape.data.pin import PinnedHash, directory_hash, read_pin
from normscape.errors import DataError, NormscapeError

CHECKOUT = Path(__file__).parents[4]
FEED_MD5 = "3378f19f7522712eb79c5c48f6f99e47.dir"
TRAINED = {"brick", "gravel", "solar_mono", "solar_poly"}

pytest.importorskip("elpv_dataset", reason="the extra 'demo' is not installed")


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    build_demo(folder / "data", folder / "feed")
    return folder


@pytest.fixture(scope="module")
def truths(demo) -> list[dict[str, str]]:
    with (demo / "feed" / TRUTH_FILE).open(newline="") as stream:
        return list(csv.DictReader(stream))


def images(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def group(path: Path) -> str:
    return re.sub(r"-\d{3}(_mask)?$", "", path.stem)


def test_the_bytes_are_those_that_are_pinned(demo):
    assert directory_hash(demo / "data") == read_pin(CHECKOUT / "data.dvc")
    assert directory_hash(demo / "feed").md5 == FEED_MD5


def test_data_has_the_mvtec_layout_without_grass(demo):
    data = demo / "data"
    assert {folder.name for folder in data.iterdir()} == TRAINED
    for category in TRAINED:
        assert len(images(data / category / "train" / "good")) >= 98
        assert len(images(data / category / "test" / "good")) >= 30
    for category in ("brick", "gravel"):
        for kind in ("scratch", "stain", "missing_patch", "foreign_texture"):
            spoiled = images(data / category / "test" / kind)
            masks = images(data / category / "ground_truth" / kind)
            assert len(spoiled) == 8
            assert [f"{path.stem}_mask" for path in spoiled] == [mask.stem for mask in masks]


def test_no_picture_occurs_twice(demo):
    pictures = [path for path in images(demo) if "ground_truth" not in path.parts]
    hashes = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures)
    assert max(hashes.values()) == 1
    solar = Counter(path.name for path in pictures if path.name.startswith("cell"))
    assert max(solar.values()) == 1, "a cell in two roles"


def test_train_test_and_feed_come_from_disjoint_regions(demo):
    for category in ("brick", "gravel"):
        train, test, feed = (
            {group(path) for path in images(folder)}
            for folder in (
                demo / "data" / category / "train",
                demo / "data" / category / "test",
                demo / "feed",
            )
        )
        assert not train & test
        assert not (train | test) & feed
    arrival, after = (
        {group(path) for path in (demo / "feed" / day).glob("grass-*.png")}
        for day in (ARRIVAL_DAY, FEED_DAYS[5])
    )
    assert arrival and after and not arrival & after


def test_names_carry_the_group_of_the_default_pattern(demo):
    pattern = re.compile(r"^(?P<group>.+-r\d+)-")
    for path in images(demo / "data" / "brick" / "train"):
        found = pattern.search(path.stem)
        assert found and found["group"] == group(path)
    assert not pattern.search(images(demo / "data" / "solar_mono")[0].stem)


def test_solar_cells_are_copied_as_they_came(demo):
    original = {path.name: path for path in solar_cells("poly").normal}
    for path in images(demo / "data" / "solar_poly" / "train" / "good"):
        assert path.read_bytes() == original[path.name].read_bytes()


def test_feed_declares_the_trained_categories_and_not_grass(demo):
    feed = demo / "feed"
    assert {path.name for path in feed.iterdir()} == {*FEED_DAYS, TRUTH_FILE}
    for day in FEED_DAYS:
        folders = {path.name for path in (feed / day).iterdir() if path.is_dir()}
        undeclared = [path for path in (feed / day).iterdir() if path.is_file()]
        assert folders == TRAINED
        assert all(len(images(feed / day / category)) == 14 for category in TRAINED)
        assert bool(undeclared) == (day >= ARRIVAL_DAY)
        assert all(path.name.startswith("grass-") for path in undeclared)


def test_truth_names_every_image_of_the_feed(demo, truths):
    feed = demo / "feed"
    assert [row["path"] for row in truths] == [
        path.relative_to(feed).as_posix() for path in images(feed)
    ]
    arrived = [row for row in truths if row["path"].startswith(f"{ARRIVAL_DAY}/grass-")]
    assert Counter(row["label"] for row in arrived) == {"0": 100, "1": 12}
    assert {row["defect_type"] for row in arrived} == {
        "good", "scratch", "stain", "missing_patch", "foreign_texture",
    }  # fmt: skip
    for day in FEED_DAYS:
        declared = [row for row in truths if row["path"].startswith(f"{day}/")]
        defective = Counter(row["category"] for row in declared if row["label"] == "1")
        assert all(defective[category] == 1 for category in TRAINED)


def test_only_solar_poly_of_the_drift_day_is_changed(demo):
    original = {
        path.name: path
        for kind in ("mono", "poly")
        for cells in [solar_cells(kind)]
        for path in cells.normal + cells.defective
    }
    changed = Counter(
        (path.parts[-3], path.parts[-2])
        for path in images(demo / "feed")
        if path.name in original and path.read_bytes() != original[path.name].read_bytes()
    )
    assert changed == {(DRIFT_DAY, "solar_poly"): 14}


def test_normal_crops_are_pixels_of_the_photograph(demo):
    photograph = texture("gravel").astype(np.int64)
    for path in images(demo / "data" / "gravel" / "train")[:5]:
        with Image.open(path) as image:
            crop = np.asarray(image).astype(np.int64)
        top, left = (73 * (int(digit) - 1) for digit in path.stem.split("-r")[1][:2])
        region = photograph[top : top + 73, left : left + 73]
        assert any(
            np.array_equal(region[row : row + 64, column : column + 64], turned)
            for turned in (crop, crop[::-1], crop[:, ::-1], crop[::-1, ::-1])
            for row in range(10)
            for column in range(10)
        )


def test_another_hash_replaces_nothing(tmp_path):
    with pytest.raises(DataError, match=r"found .*\.dir .*expected 0000\.dir"):
        build_demo(tmp_path / "data", tmp_path / "feed", PinnedHash("0000.dir", 1, 1))
    assert list(tmp_path.iterdir()) == []


def test_fill_leaves_its_own_work_and_refuses_to_overwrite_others(tmp_path):
    data, feed, pin = tmp_path / "data", tmp_path / "feed", CHECKOUT / "data.dvc"
    assert fill_demo(data, feed, pin) is True
    assert fill_demo(data, feed, pin) is False

    own = data / "brick" / "train" / "good" / "own.png"
    own.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"not what data\.dvc pins.*--force"):
        fill_demo(data, feed, pin)
    assert own.exists()
    assert fill_demo(data, feed, pin, force=True) is True
    assert not own.exists()

    (feed / TRUTH_FILE).unlink()
    with pytest.raises(DataError, match="holds something else than the demo's feed"):
        fill_demo(data, feed, pin)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(sources_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NormscapeError, match=r"elpv_dataset.*pip install normscape\[demo\]"):
        solar_cells("mono")


def test_other_photographs_are_refused(monkeypatch):
    monkeypatch.setitem(sources_module.TEXTURES, "brick", "0" * 64)
    with pytest.raises(DataError, match="other photographs, install the locked one"):
        texture("brick")


def test_the_pin_lists_exactly_these_files(demo):
    """The hash spelled out, without the code under test."""
    data = demo / "data"
    listing = [
        {
            "md5": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
            "relpath": path.relative_to(data).as_posix(),
        }
        for path in images(data)
    ]
    listing.sort(key=lambda entry: entry["relpath"])
    text = json.dumps(listing)
    md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    assert read_pin(CHECKOUT / "data.dvc").md5 == f"{md5}.dir"
