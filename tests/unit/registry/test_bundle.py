"""The bundle's format: what is verified, and what is refused."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from normscape.files import sha256_file
from normscape.registry.bundle import FORMAT, INDEX, REQUIRED, Bundle, BundleError, seal


def relabel(folder: Path, **changes: Any) -> None:
    path = folder / INDEX
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def listed(folder: Path, name: str, target: Path | None = None) -> None:
    """List `name` in the index with a hash that matches."""
    files = json.loads((folder / INDEX).read_text())["files"]
    files[name] = sha256_file(target or folder / name)
    relabel(folder, files=files)


def test_a_whole_bundle_loads(make_bundle) -> None:
    bundle = Bundle.load(make_bundle())
    assert set(bundle.files) == set(REQUIRED)
    assert bundle.categories == ("bolt", "nut")
    assert bundle.images == {"a" * 64, "b" * 64}
    assert bundle.data_version == "d.dir"
    assert bundle.provenance.code.commit == "c" * 40
    assert bundle.gate.passed


def test_the_content_id_ignores_the_time_of_making(make_bundle) -> None:
    folder = make_bundle()
    first = Bundle.load(folder)
    relabel(folder, created="2001-01-01T00:00:00+00:00")
    second = Bundle.load(folder)
    assert first.created != second.created
    assert first.content_id == second.content_id
    (folder / "model_card.md").write_text("another")
    assert seal(folder).content_id != first.content_id


@pytest.mark.parametrize("name", REQUIRED)
def test_a_flipped_bit_names_the_file(make_bundle, name: str) -> None:
    path = make_bundle() / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{path.name} is damaged"):
        Bundle.load(path.parent)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named(make_bundle, name: str) -> None:
    folder = make_bundle()
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(folder)
    with pytest.raises(BundleError, match=f"does not list {name}"):
        seal(folder)


def test_a_newer_format_asks_for_an_update(make_bundle) -> None:
    folder = make_bundle()
    relabel(folder, format=FORMAT + 1)
    with pytest.raises(BundleError, match=f"format {FORMAT + 1}.*update normscape"):
        Bundle.load(folder)


@pytest.mark.parametrize("version", [None, "1", 0, -1, 1.0, True, []])
def test_a_format_that_is_none_is_refused(make_bundle, version: Any) -> None:
    folder = make_bundle()
    relabel(folder, format=version)
    with pytest.raises(BundleError, match="states no format version"):
        Bundle.load(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\x00", "[" * 100_000])
def test_an_index_that_is_no_index_is_refused(make_bundle, content: str) -> None:
    folder = make_bundle()
    (folder / INDEX).write_text(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.load(folder)


def test_a_huge_index_is_not_read(make_bundle) -> None:
    folder = make_bundle()
    with (folder / INDEX).open("wb") as stream:
        stream.truncate(1 << 33)
    with pytest.raises(BundleError, match="larger than"):
        Bundle.load(folder)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        Bundle.load(tmp_path)
    with pytest.raises(BundleError, match="not a bundle"):
        Bundle.load(tmp_path / "nowhere")


def test_an_unlisted_file_is_refused(make_bundle) -> None:
    folder = make_bundle()
    (folder / "extra.json").write_text("{}")
    with pytest.raises(BundleError, match=r"extra\.json does not belong"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["weights.pt", "weights.pkl", "model.bin", "run.py", "x"])
def test_a_pickle_is_refused_even_when_listed(make_bundle, name: str) -> None:
    folder = make_bundle()
    (folder / name).write_bytes(pickle.dumps({"harmless": True}))
    listed(folder, name)
    with pytest.raises(BundleError, match="could run code"):
        Bundle.load(folder)
    with pytest.raises(BundleError, match="could run code"):
        seal(folder)


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/passwd", "sub/x.json", "..", ".hidden.json", "a\nb.json", ""]
)
def test_a_name_that_leaves_the_folder_is_refused(make_bundle, name: str) -> None:
    folder = make_bundle()
    outside = folder.parent / "outside.json"
    outside.write_text("{}")
    listed(folder, name, target=outside)
    with pytest.raises(BundleError, match="expected plain file names only"):
        Bundle.load(folder)


def test_links_and_folders_inside_are_refused(make_bundle, tmp_path: Path) -> None:
    folder = make_bundle()
    target = tmp_path / "elsewhere.json"
    (folder / "metrics.json").rename(target)
    (folder / "metrics.json").symlink_to(target)
    with pytest.raises(BundleError, match=r"metrics\.json is a link"):
        Bundle.load(folder)
    (folder / "metrics.json").unlink()
    (folder / "metrics.json").mkdir()
    with pytest.raises(BundleError, match=r"metrics\.json is a link, a folder"):
        Bundle.load(folder)


def test_a_bundle_that_is_itself_a_link_is_refused(make_bundle, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(make_bundle())
    with pytest.raises(BundleError, match="not a bundle"):
        Bundle.load(tmp_path / "link")


@pytest.mark.parametrize(
    ("name", "part"),
    [("gate.json", "gate"), ("model.json", "categories"), ("images.json", "images"),
     ("provenance.json", "provenance")],
)  # fmt: skip
@pytest.mark.parametrize("content", ["[]", "{}", "3", "null", "no json"])
def test_a_part_with_the_right_hash_and_wrong_content_is_named(
    make_bundle, name: str, part: str, content: str
) -> None:
    folder = make_bundle()
    (folder / name).write_text(content)
    with pytest.raises(BundleError, match=f"{name} does not hold"):
        seal(folder)
    with pytest.raises(BundleError, match=f"{name} does not hold"):
        Bundle.load(folder)
    with pytest.raises(BundleError, match=f"{name} does not hold"):
        getattr(Bundle.glance(folder), part)
