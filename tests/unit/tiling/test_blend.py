import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from normscape.sections.model import TilingParams
from normscape.tiling.blend import Blend
from normscape.tiling.grid import CELLS, Grid

SIDES = st.integers(1, 1500)


def blended(grid: Grid, whole: NDArray[np.float32]) -> Blend:
    """The blend of tiles that are cut out of one map."""
    blend = Blend(grid)
    for number, (left, top) in enumerate(grid):
        row, column = top // grid.cell, left // grid.cell
        part = whole[row : row + CELLS, column : column + CELLS]
        missing = [(0, CELLS - length) for length in part.shape]
        blend.add(number, np.pad(part, missing, constant_values=1e6))
    return blend


@given(SIDES, SIDES, st.floats(0, 0.75))
def test_the_blend_of_cut_tiles_is_the_map_they_were_cut_from(
    width: int, height: int, overlap: float
) -> None:
    grid = Grid.of(width, height, TilingParams(tile=128, overlap=overlap))
    whole = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    np.testing.assert_allclose(blended(grid, whole).map, whole, atol=1e-5)
    constant = np.full(grid.shape, 0.7, dtype=np.float32)
    np.testing.assert_allclose(blended(grid, constant).map, 0.7, rtol=1e-6)


def test_a_tile_counts_less_towards_its_border() -> None:
    grid = Grid.of(352, 128, TilingParams(tile=128, overlap=0.25))
    blend = Blend(grid)
    blend.add(1, np.ones((CELLS, CELLS), dtype=np.float32))  # the others say 0
    line = blend.map[5]
    first, last = grid.lefts[1] // grid.cell, grid.lefts[1] // grid.cell + CELLS
    assert (line[first : first + 4] < [0.05, 0.2, 0.4, 0.6]).all()
    assert line[(first + last) // 2] == pytest.approx(1)
    assert np.abs(np.diff(line)).max() < 0.3


def test_the_score_is_the_mean_of_the_highest_cells_of_one_tile() -> None:
    few = Grid.of(128, 128, TilingParams(tile=128))
    many = Grid.of(1280, 1280, TilingParams(tile=128))
    scores = []
    for grid in (few, many):
        whole = np.zeros(grid.shape, dtype=np.float32)
        whole[3:5, 4:9] = 2.0  # ten cells, 1 % of a tile
        scores.append(blended(grid, whole).score(0.01))
    assert scores == pytest.approx([2.0, 2.0], rel=1e-5)
    assert blended(few, np.zeros(few.shape, dtype=np.float32)).score(1e-6) == 0
    tiny = Grid.of(5, 5, TilingParams(tile=128))
    assert blended(tiny, np.ones(tiny.shape, dtype=np.float32)).score(1.0) == pytest.approx(1)
