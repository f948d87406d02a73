"""Pictures as such: the same every time, exact masks, and a pin on what is drawn."""

import json
from pathlib import Path

import numpy as np
import pytest

from normscape.data.synth import VERSION
from normscape.data.synth.families import FAMILIES
from normscape.data.synth.render import Picture, category, render

FROZEN = Path(__file__).with_name("frozen.json")
"""Per family: means of the quarters of a normal and of a defective picture, and the mask's share.

They hold for `VERSION` 1. Means survive another rounding in another build of numpy or scipy, and
hardly any change of the generator. Write the file anew only together with a new `VERSION`.
"""


def summary(index: int) -> list[float]:
    drawn = category(0, index)
    normal, defective = render(drawn, "train", 0, 64), render(drawn, "test_anomalous", index, 64)
    assert defective.mask is not None
    quarters = [_quarters(picture) for picture in (normal, defective)]
    share = float((defective.mask > 0).mean())
    return [round(value, 3) for value in (*quarters[0], *quarters[1], 100 * share)]


def _quarters(picture: Picture) -> list[float]:
    blocks = picture.pixels.reshape(2, 32, 2, 32, 3).mean(axis=(1, 3, 4))
    return [float(value) for value in blocks.ravel()]


@pytest.mark.parametrize("index", range(len(FAMILIES)))
def test_what_is_drawn_is_frozen(index):
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))
    assert frozen["version"] == VERSION
    name = category(0, index).name
    assert summary(index) == pytest.approx(frozen["pictures"][name], abs=0.05), (
        f"{name} is drawn differently: raise VERSION and freeze anew, or undo the change"
    )


def test_a_picture_is_the_same_every_time():
    first, second = (render(category(4, 6), "test_anomalous", 2, 64) for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert first.mask is not None
    assert second.mask is not None
    assert np.array_equal(first.mask, second.mask)


def test_splits_and_indices_differ():
    drawn = category(0, 8)
    pictures = [
        render(drawn, split, index, 64).pixels
        for split in ("train", "test_normal")
        for index in (0, 1)
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4


@pytest.mark.parametrize("index", range(len(FAMILIES)))
def test_a_mask_marks_what_changed(index, monkeypatch):
    """The same picture without its defect differs inside the mask, and hardly outside."""
    drawn = category(1, index)
    spoiled = render(drawn, "test_anomalous", 0, 64)
    # Defects draw from a stream of their own, so the normal picture of the same key is the twin.
    monkeypatch.setattr("normscape.data.synth.render._SPLITS", {"train": 3})
    clean = render(drawn, "train", 0, 64)
    assert spoiled.mask is not None
    marked = spoiled.mask > 0
    apart = np.abs(spoiled.pixels.astype(int) - clean.pixels.astype(int)).max(axis=2)
    assert marked.sum() >= 4
    assert (apart[marked] > 8).mean() > 0.7
    assert np.count_nonzero(apart[~marked] > 8) <= 0.004 * marked.size
