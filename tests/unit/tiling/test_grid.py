import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from normscape.errors import UsageError
from normscape.sections.model import TilingParams
from normscape.tiling.grid import CELLS, Grid, cut

SIDES = st.integers(1, 3000)
TILES = st.sampled_from([64, 96, 256, 512])
OVERLAPS = st.floats(0, 0.75)


def grid(width: int, height: int, tile: int = 128, overlap: float = 0.25) -> Grid:
    return Grid.of(width, height, TilingParams(tile=tile, overlap=overlap))


@given(SIDES, TILES, OVERLAPS)
def test_the_tiles_cover_every_pixel_and_overlap_enough(
    length: int, tile: int, overlap: float
) -> None:
    starts = grid(length, 1, tile, overlap).lefts
    cell = tile // CELLS
    assert starts[0] == 0
    assert starts[-1] + tile >= length
    assert all(start % cell == 0 for start in starts)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= max(cell, tile * (1 - overlap))).all()
    # No tile lies outside, and the last reaches over the border by less than a cell.
    assert starts[-1] + tile < length + cell or len(starts) == 1


def test_the_map_has_a_cell_for_every_pixel() -> None:
    assert grid(8192, 8192, 512).shape == (512, 512)
    assert grid(8192, 8192, 256).shape == (1024, 1024)
    assert grid(1001, 17, 64).shape == (9, 501)
    assert len(grid(8192, 8192, 512)) == 21 * 21


def test_a_grid_needs_a_tile() -> None:
    with pytest.raises(UsageError, match=r"tiling\.tile is null"):
        Grid.of(100, 100, TilingParams())


def test_cut_tiles_are_the_picture_and_its_mirror() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    assert np.array_equal(cut(picture, 8, 16, 128), pixels[16:144, 8:136])
    over = np.asarray(cut(picture, 64, 100, 128))
    assert over.shape == (128, 128, 3)
    assert np.array_equal(over[:100, :86], pixels[100:, 64:])
    assert np.array_equal(over[100:, :86], pixels[-1:-29:-1, 64:])
    tiny = cut(picture.crop((0, 0, 5, 3)), 0, 0, 128)
    assert tiny.size == (128, 128)


@given(st.integers(1, 50), st.integers(0, 50))
def test_more_learned_tiles_are_added_to_the_fewer(count: int, more: int) -> None:
    tiles = grid(1000, 700)
    few, many = tiles.learned("a" * 64, count), tiles.learned("a" * 64, count + more)
    assert few.items() <= many.items()
    assert len(few) == min(count, len(tiles))
    assert set(many.values()) <= set(tiles)
    assert not few.keys() & tiles.learned("b" * 64, count).keys()
