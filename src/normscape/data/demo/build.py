"""What goes where: the data folder, the production feed, and what the feed's operator knows."""

from __future__ import annotations

import csv
import shutil
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

from normscape.data.demo.defects import KINDS, Defect
from normscape.data.demo.draws import Draws, hash_order
from normscape.data.demo.pixels import Grey, box_blur, relight, write_png
from normscape.data.demo.regions import Crop, Cropper, roles
from normscape.data.demo.sources import read_grey, solar_cells, texture
from normscape.data.pin import PinnedHash, directory_hash, expect_hash
from normscape.files import atomic_folder

FEED_DAYS = (
    "2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06", "2026-03-07",
)  # fmt: skip
"""Three quiet days, the day `solar_poly` drifts, the day `grass` arrives, the day after."""

DRIFT_DAY = FEED_DAYS[3]
ARRIVAL_DAY = FEED_DAYS[4]
LAST_DAY = FEED_DAYS[5]

TRUTH_FILE = "truth.csv"
"""In the feed: what the operator knows."""

_SOLAR_TRAIN, _SOLAR_TEST = 110, 40
_TEXTURE_TRAIN, _TEXTURE_TEST_GOOD, _TEXTURE_TEST_DEFECTS = 98, 30, 8
_FEED_IMAGES = (13, 1)  # normal and defective, a category and day: one of each feed region
_ARRIVING_IMAGES = (100, 12)
_AFTER_IMAGES = (14, 2)

_TRAINED = {"train": (0, 2, 4, 6), "test": (3,), "feed": (1, 5)}
_ARRIVING = {"arrival": (0, 2, 3, 4, 6), "after": (1, 5)}
_FOREIGN = {"brick": "gravel", "gravel": "brick", "grass": "brick"}


@dataclass(frozen=True)
class Truth:
    """What the operator knows about an image of the feed; no model reads it."""

    path: str
    category: str
    label: int
    defect_type: str


def build_demo(
    data: Path, feed: Path, pin: PinnedHash | None = None, *, feed_seed: int = 0
) -> None:
    """Fill `data` (MVTec layout) and `feed` (day/[category/]image, truth.csv), replacing both.

    Args:
        data: The folder of the versioned images.
        feed: The folder of the production feed.
        pin: What `data` must hash to; nothing is replaced if it does not.
        feed_seed: Which feed; 0 is the one of `make run`. The data are the same for all.

    Raises:
        NormscapeError: A package of the photographs is missing, or a folder cannot be written.
        DataError: A package ships other photographs, or the hash is not `pin`.
    """
    with atomic_folder(data) as new_data, atomic_folder(feed) as new_feed:
        truths = _solar("mono", new_data, new_feed, feed_seed)
        truths += _solar("poly", new_data, new_feed, feed_seed)
        croppers = {
            name: Cropper(name, texture(name), roles(_ARRIVING if name == "grass" else _TRAINED))
            for name in ("brick", "gravel", "grass")
        }
        for name in ("brick", "gravel"):
            _texture_data(name, croppers, new_data / name)
            for day in FEED_DAYS:
                crops = _with_defects(
                    croppers, name, "feed", day, _FEED_IMAGES, feed_seed=feed_seed
                )
                truths += _write_day(new_feed, f"{day}/{name}", name, crops)
        for day, role, counts in (
            (ARRIVAL_DAY, "arrival", _ARRIVING_IMAGES),
            (LAST_DAY, "after", _AFTER_IMAGES),
        ):
            crops = _with_defects(croppers, "grass", role, day, counts, feed_seed=feed_seed)
            truths += _write_day(new_feed, day, "grass", crops)
        _write_truth(new_feed / TRUTH_FILE, truths)
        if pin is not None:
            expect_hash(
                directory_hash(new_data),
                pin,
                "the demo that was just made",
                "data.dvc pins other data ('git checkout data.dvc' restores the demo's pin), or an "
                "installed package ships other photographs (install the locked ones)",
            )


def _solar(kind: Literal["mono", "poly"], data: Path, feed: Path, feed_seed: int) -> list[Truth]:
    category = f"solar_{kind}"
    cells = solar_cells(kind)
    normal = hash_order(category, cells.normal, key=lambda path: path.name)
    defective = hash_order(category, cells.defective, key=lambda path: path.name)
    _copy(normal[:_SOLAR_TRAIN], data / category / "train" / "good")
    normal = normal[_SOLAR_TRAIN:]
    _copy(normal[:_SOLAR_TEST], data / category / "test" / "good")
    _copy(defective[:_SOLAR_TEST], data / category / "test" / "defective")
    normal, defective = normal[_SOLAR_TEST:], defective[_SOLAR_TEST:]
    if feed_seed:
        order = f"{category}/feed {feed_seed}"
        normal, defective = (
            hash_order(order, paths, key=lambda path: path.name) for paths in (normal, defective)
        )

    truths = []
    for index, day in enumerate(FEED_DAYS):
        folder = feed / day / category
        good = normal[index * _FEED_IMAGES[0] : (index + 1) * _FEED_IMAGES[0]]
        bad = defective[index * _FEED_IMAGES[1] : (index + 1) * _FEED_IMAGES[1]]
        _copy(good + bad, folder)
        if (category, day) == ("solar_poly", DRIFT_DAY):
            for path in good + bad:
                (folder / path.name).unlink()
                write_png(folder / path.name, _drifted(read_grey(path)))
        for label, kind_of_defect, paths in ((0, "good", good), (1, "defective", bad)):
            truths += [
                Truth(f"{day}/{category}/{path.name}", category, label, kind_of_defect)
                for path in paths
            ]
    return truths


def _copy(paths: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name)


def _drifted(picture: Grey) -> Grey:
    """A weaker current and a lens out of focus: two blurs over 7 by 7 pixels, then re-lit."""
    return relight(box_blur(box_blur(picture, 3), 3), gain_percent=60, offset=12)


def _texture_data(name: str, croppers: dict[str, Cropper], folder: Path) -> None:
    cropper = croppers[name]
    for part, role, count in (
        ("train", "train", _TEXTURE_TRAIN),
        ("test", "test", _TEXTURE_TEST_GOOD),
    ):
        (folder / part / "good").mkdir(parents=True)
        for crop in cropper.take(role, f"{part} good", count):
            write_png(folder / part / "good" / f"{crop.name}.png", crop.pixels)
    for kind in KINDS:
        (folder / "test" / kind).mkdir(parents=True)
        (folder / "ground_truth" / kind).mkdir(parents=True)
        for crop in cropper.take("test", f"test {kind}", _TEXTURE_TEST_DEFECTS):
            defect = _spoil(croppers, name, "test", kind, crop)
            write_png(folder / "test" / kind / f"{crop.name}.png", defect.pixels)
            write_png(folder / "ground_truth" / kind / f"{crop.name}_mask.png", defect.mask)


def _with_defects(
    croppers: dict[str, Cropper],
    name: str,
    role: str,
    day: str,
    counts: tuple[int, int],
    *,
    feed_seed: int,
) -> list[tuple[str, str, Grey]]:
    """Crops of one day as (name, kind of defect, pixels); the kinds take turns.

    Args:
        croppers: The photographs.
        name: Which of them.
        role: The role of the regions that are cropped.
        day: The day of the feed.
        counts: How many normal and how many defective crops.
        feed_seed: Which feed.
    """
    feed = f"feed {feed_seed} {day}" if feed_seed else f"feed {day}"
    crops = croppers[name].take(role, feed, sum(counts))
    spoiled = hash_order(f"{name}/{day}", range(len(crops)))[: counts[1]]
    kinds = list(KINDS)
    first = FEED_DAYS.index(day)
    result = []
    for index, crop in enumerate(crops):
        if index in spoiled:
            kind = kinds[(first + spoiled.index(index)) % len(kinds)]
            defect = _spoil(croppers, name, role, kind, crop)
            result.append((crop.name, kind, defect.pixels))
        else:
            result.append((crop.name, "good", crop.pixels))
    return result


def _spoil(croppers: dict[str, Cropper], name: str, role: str, kind: str, crop: Crop) -> Defect:
    draws = Draws(crop.name, kind)
    other_role = role if role in _TRAINED else "feed"
    return KINDS[kind](crop.pixels, draws, croppers[_FOREIGN[name]].piece(other_role, draws))


def _write_day(
    feed: Path, folder: str, category: str, crops: list[tuple[str, str, Grey]]
) -> list[Truth]:
    (feed / folder).mkdir(parents=True, exist_ok=True)
    for name, _, pixels in crops:
        write_png(feed / folder / f"{name}.png", pixels)
    return [
        Truth(f"{folder}/{name}.png", category, int(kind != "good"), kind)
        for name, kind, _ in crops
    ]


def _write_truth(path: Path, truths: list[Truth]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields(Truth)])
        writer.writerows(astuple(truth) for truth in sorted(truths, key=lambda truth: truth.path))
