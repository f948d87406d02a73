import hashlib

import numpy as np
import pytest
from PIL import Image

from normscape.data.demo.pixels import blend, box_blur, relight, write_png


def ramp(height: int, width: int) -> np.ndarray:
    return (np.arange(height * width) % 251).astype(np.uint8).reshape(height, width)


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (300, 300), (7, 65535)])
def test_pillow_reads_back_what_was_written(tmp_path, shape):
    picture = ramp(*shape)
    write_png(tmp_path / "p.png", picture)
    with Image.open(tmp_path / "p.png") as image:
        image.verify()
    with Image.open(tmp_path / "p.png") as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), picture)


def test_bytes_of_a_written_png_are_fixed(tmp_path):
    write_png(tmp_path / "p.png", ramp(64, 64))
    digest = hashlib.sha256((tmp_path / "p.png").read_bytes()).hexdigest()
    assert digest == "eea6720ca117d3006e2058f7b54316d0d7603f75a32604aca1829e68cfe9141e"


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_box_blur_is_the_rounded_mean_of_the_window(radius):
    picture = ramp(23, 19)
    padded = np.pad(picture.astype(float), radius, mode="edge")
    side = 2 * radius + 1
    expected = np.array(
        [[padded[r : r + side, c : c + side].mean() for c in range(19)] for r in range(23)]
    )
    assert np.array_equal(box_blur(picture, radius), np.floor(expected + 0.5 + 1e-9))


def test_blend_keeps_or_replaces_at_the_ends_and_mixes_between():
    picture, target = np.full((2, 2), 40, np.uint8), np.full((2, 2), 200, np.uint8)
    share = np.array([[0, 256], [128, 64]])
    assert blend(picture, target, share).tolist() == [[40, 200], [120, 80]]


def test_relight_clips_instead_of_wrapping():
    picture = np.array([[0, 100, 250]], np.uint8)
    assert relight(picture, gain_percent=120, offset=20).tolist() == [[20, 140, 255]]
    assert relight(picture, gain_percent=50, offset=-20).tolist() == [[0, 30, 105]]
