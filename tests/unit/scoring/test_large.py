from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.scoring.large import DETAIL_SIDE, score_large
from normscape.scoring.load import PICTURE_SIDE, LoadedImage, load
from normscape.scoring.result import ImageScore
from normscape.scoring.source import list_day


class Judge:
    """Finds the brightest pixel."""

    def score_large(self, image: Image.Image, declared: str, *, batch_size: int) -> ImageScore:
        grey = np.asarray(image.convert("L"))
        row, column = np.unravel_index(grey.argmax(), grey.shape)
        return ImageScore(
            score=1.0, map=np.zeros((4, 4), np.float32), declared=declared, predicted="a",
            category_distance=1.0, strangeness=1.0, category_p_value=0.5, p_value_declared=None,
            p_value_predicted=0.5, category="a", threshold=0.5, peak=(int(column), int(row)),
        )  # fmt: skip


def loaded(folder: Path) -> LoadedImage:
    (image,) = load(list_day(folder, folder), 32, lambda _: False, 2, lambda *_: True)
    return image


@pytest.mark.parametrize("place", [(0, 0), (700, 450), (1199, 899)])
def test_the_detail_is_the_surroundings_of_the_peak(tmp_path: Path, place: tuple[int, int]) -> None:
    picture = Image.new("RGB", (1200, 900), (10, 10, 10))
    picture.putpixel(place, (255, 255, 255))
    picture.save(tmp_path / "a.png")
    image, result = score_large(loaded(tmp_path), Judge(), 4)  # type: ignore[arg-type]
    assert isinstance(result, ImageScore)
    assert image.detail is not None
    assert image.detail.size == (DETAIL_SIDE, DETAIL_SIDE)
    assert np.asarray(image.detail).max() == 255
    assert image.picture is not None
    assert image.picture.size == (PICTURE_SIDE, PICTURE_SIDE * 3 // 4)
    assert image.statistics is not None


def test_an_image_that_changes_or_cannot_be_decoded_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (200, 100)).save(path)
    image = loaded(tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    assert "changed" in str(score_large(image, Judge(), 4)[1])  # type: ignore[arg-type]
    path.unlink()
    assert "cannot be read" in str(score_large(image, Judge(), 4)[1])  # type: ignore[arg-type]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    assert "decoded" in str(score_large(loaded(tmp_path), Judge(), 4)[1])  # type: ignore[arg-type]
