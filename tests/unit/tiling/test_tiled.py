"""The rule for large images with a stand-in for the model that sees nothing but brightness."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from normscape.novelty.inspector import Inspection
from normscape.sections.model import MapParams, TilingParams
from normscape.tiling.grid import Grid
from normscape.tiling.tiled import judge_tiles

TILING = TilingParams(tile=256, overlap=0.25)
SIDE = 1100


class Brightness(nn.Module):
    """Backbone and model in one: the map is the picture, dark tiles are of another category."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.identity = SimpleNamespace(input_size=64)
        self.maps = MapParams(size=64)
        self.categories = ("bright", "dark")
        self.batches: list[int] = []

    def forward(self, given: Tensor | list[Tensor]) -> Inspection | list[Tensor]:
        if isinstance(given, Tensor):
            self.batches.append(len(given))
            return [given]
        grey = given[0].mean(dim=1)
        mean = grey.mean(dim=(1, 2))
        return Inspection(mean, grey, (mean < 0.1).long(), mean, mean)


def judge(picture: np.ndarray, batch_size: int = 7) -> tuple[Inspection, Brightness]:
    image, both = Image.fromarray(picture), Brightness()
    grid = Grid.of(image.width, image.height, TILING)
    return judge_tiles(image, grid, both, both, batch_size), both  # type: ignore[arg-type]


def spotted(x: int, y: int) -> np.ndarray:
    picture = np.full((SIDE, SIDE, 3), 50, dtype=np.uint8)
    picture[y : y + 32, x : x + 32] = 250
    return picture


def test_the_map_shows_the_picture_whatever_the_tiles() -> None:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (11, 11), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    prediction, _ = judge(np.repeat(picture[..., None], 3, axis=2))
    expected = picture[:1096, :1096].reshape(137, 8, 137, 8).mean(axis=(1, 3)) / 255
    assert prediction.map.shape == (1, 138, 138)
    np.testing.assert_allclose(prediction.map[0, :137, :137], expected, atol=0.01)


def test_nothing_is_seen_where_tiles_meet() -> None:
    prediction, _ = judge(np.full((SIDE, SIDE, 3), 77, dtype=np.uint8))
    np.testing.assert_allclose(prediction.map, 77 / 255, rtol=1e-5)


def test_the_score_of_a_defect_does_not_depend_on_where_the_tiles_lie() -> None:
    places = range(400, 400 + 256, 24)  # more than a stride: in the middle, on a border, on both
    scores = [judge(spotted(x, x + 100))[0].score.item() for x in places]
    assert max(scores) / min(scores) < 1.02
    assert min(scores) > 0.6 > judge(spotted(SIDE, SIDE))[0].score.item()


def test_the_defect_is_where_the_map_is_highest() -> None:
    values = judge(spotted(640, 208))[0].map[0]
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    assert 208 // 8 <= row < 240 // 8
    assert 640 // 8 <= column < 672 // 8


@pytest.mark.parametrize("batch_size", [1, 64])
def test_batches_are_bounded_and_change_nothing(batch_size: int) -> None:
    prediction, both = judge(spotted(300, 300), batch_size)
    assert max(both.batches) <= batch_size
    assert sum(both.batches) == 36
    assert torch.equal(prediction.map, judge(spotted(300, 300))[0].map)


def test_the_category_is_that_of_most_tiles() -> None:
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    picture[:, 200:] = 200
    prediction, both = judge(picture)
    assert both.categories[int(prediction.category[0])] == "bright"
    assert prediction.category_distance.item() == pytest.approx(200 / 255, rel=1e-3)


@pytest.mark.parametrize("size", [(40, 30), (256, 256), (3, 900)])
def test_small_and_narrow_images_are_tiles_with_a_mirrored_border(size: tuple[int, int]) -> None:
    prediction, _ = judge(np.full((size[1], size[0], 3), 128, dtype=np.uint8))
    assert prediction.map.shape == (1, -(-size[1] // 8), -(-size[0] // 8))
    np.testing.assert_allclose(prediction.map, 128 / 255, rtol=1e-5)
    assert prediction.score.item() == pytest.approx(128 / 255)
