"""Images and maps of other tools."""

import numpy as np
import pytest
from PIL import Image

from normscape.discovery.regions import SIDE
from normscape.discovery.sources import from_folders, read_any_map
from normscape.errors import DataError, UsageError
from normscape.scoring.array import write_map
from normscape.scoring.result import ImageScore

from .support import draw


def values():
    grid = np.linspace(0, 1, 32 * 48).reshape(32, 48)
    return grid.astype(np.float32)


def own_format(path, array):
    score = ImageScore(
        score=1.0, map=array, declared=None, predicted="plate", category_distance=0.0,
        strangeness=0.0, category_p_value=1.0, p_value_declared=None, p_value_predicted=0.5,
        category="plate", threshold=0.5,
    )  # fmt: skip
    write_map(path, score, "v0001")


WRITERS = {
    ".npy": np.save,
    ".tif": lambda path, array: Image.fromarray(array).save(path),
    ".tiff": lambda path, array: Image.fromarray((array * 65535).astype(np.uint16)).save(path),
    ".png": lambda path, array: Image.fromarray((array * 65535).astype(np.uint16)).save(path),
    ".map.png": own_format,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_maps_are_read_from_every_format(tmp_path, suffix):
    path = tmp_path / f"one{suffix}"
    WRITERS[suffix](path, values())

    assert read_any_map(path) == pytest.approx(values(), abs=1e-4)


def test_a_leading_channel_of_one_is_no_channel(tmp_path):
    np.save(tmp_path / "one.npy", values()[None])

    assert read_any_map(tmp_path / "one.npy").shape == (32, 48)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: np.save(path, np.zeros((3, 4, 5))),
        lambda path: np.save(path, np.array(["a"]), allow_pickle=False),
        lambda path: np.save(path, np.array([object()]), allow_pickle=True),
        lambda path: path.write_bytes(b"no array"),
        lambda path: path.write_bytes(b""),
        lambda path: np.savez(path.open("wb"), one=values()),
        lambda path: None,
    ],
)
def test_what_is_no_map_is_refused(tmp_path, write):
    path = tmp_path / "one.npy"
    write(path)

    with pytest.raises(DataError, match="not an anomaly map"):
        read_any_map(path)


def test_images_are_paired_with_their_maps_by_category(tmp_path):
    images, maps = tmp_path / "images", tmp_path / "maps"
    for category in ("plate", "ring"):
        (images / category).mkdir(parents=True)
        (maps / category).mkdir(parents=True)
        draw("spot", len(category))[0].save(images / category / "one.png")
        np.save(maps / category / "one.npy", values())
    draw("line", 3)[0].save(images / "plate" / "two.png")

    found, lost = from_folders(images, maps, None)
    only, _ = from_folders(images, maps, "ring")

    assert [each.category for each in found] == ["plate", "ring"]
    assert found[0].map.shape == (SIDE, SIDE)
    assert found[0].read().size == (128, 128)
    assert len(lost) == 1
    assert "two.*: no map" in lost[0]
    assert [each.category for each in only] == ["ring"]


def test_loose_images_need_a_category_and_folders_must_be_there(tmp_path):
    draw("spot", 1)[0].save(tmp_path / "one.png")
    np.save(tmp_path / "one.npy", values())

    with pytest.raises(UsageError, match="name it with --category"):
        from_folders(tmp_path, tmp_path, None)
    with pytest.raises(UsageError, match="is not a folder"):
        from_folders(tmp_path / "no", tmp_path, "plate")
    found, lost = from_folders(tmp_path, tmp_path, "plate")
    assert ([each.category for each in found], lost) == (["plate"], [])


def test_an_image_is_never_its_own_map(tmp_path):
    for name in ("one", "two"):
        draw("spot", len(name))[0].convert("L").save(tmp_path / f"{name}.png")
    own_format(tmp_path / "two.map.png", values())

    found, lost = from_folders(tmp_path, tmp_path, "plate")

    assert [each.source for each in found] == [str(tmp_path / "two.png")]
    assert len(lost) == 1
    assert "one.*: no map" in lost[0]


def test_a_map_with_gaps_is_named(tmp_path):
    draw("spot", 1)[0].save(tmp_path / "one.png")
    np.save(tmp_path / "one.npy", np.full((4, 4), np.nan))

    found, (sentence,) = from_folders(tmp_path, tmp_path, "plate")

    assert not found
    assert sentence.startswith(f"{tmp_path / 'one.npy'}: an anomaly map holds values")


def test_the_same_image_twice_is_one(tmp_path):
    for name in ("one", "two"):
        draw("spot", 1)[0].save(tmp_path / f"{name}.png")
        np.save(tmp_path / f"{name}.npy", values())

    found, _ = from_folders(tmp_path, tmp_path, "plate")

    assert len(found) == 1
