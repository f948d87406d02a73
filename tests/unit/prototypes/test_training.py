"""Which images are learned from, and which are held out."""

import pandas as pd
import pytest

from normscape.errors import DataError
from normscape.prototypes.training import training_images


def manifest(counts: dict[str, int]) -> pd.DataFrame:
    rows = [
        {
            "path": f"{category}/train/good/{number:04}.png",
            "category": category,
            "group": f"part{number // 2}",
            "split": "train",
            "label": 0,
            "sha256": f"{category}-{number}",
            "error": None,
        }
        for category, count in counts.items()
        for number in range(count)
    ]
    return pd.DataFrame(rows)


def test_groups_stay_together_and_adding_images_moves_none():
    learn, held = training_images(manifest({"a": 200, "b": 100}), 20)
    assert 30 < len(held) < 90
    groups = {(path.split("/")[0], int(path[-8:-4]) // 2) for path in held.paths}
    assert not groups & {(path.split("/")[0], int(path[-8:-4]) // 2) for path in learn.paths}
    _, more = training_images(manifest({"a": 300, "b": 100}), 20)
    assert set(held.hashes) <= set(more.hashes)


def test_other_splits_labels_and_broken_images_are_left_out():
    frame = manifest({"a": 6})
    frame.loc[0, "split"] = "calibration"
    frame.loc[1, "label"] = 1
    frame.loc[2, "error"] = "truncated"
    frame.loc[4, "sha256"] = frame.loc[3, "sha256"]
    learn, held = training_images(frame, 1)
    assert {*learn.hashes, *held.hashes} == {"a-3", "a-5"}


def test_a_category_never_loses_most_of_its_images():
    learn, held = training_images(manifest({"a": 2, "b": 2}), 50)
    for label in (0, 1):
        assert learn.labels.count(label) >= held.labels.count(label)
        assert learn.labels.count(label) >= 1


def test_no_images_is_a_clear_error():
    with pytest.raises(DataError, match="train split"):
        training_images(manifest({"a": 3}).assign(split="test"), 10)
