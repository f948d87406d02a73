import numpy as np
import pytest

from normscape.data.synth.noise import cell_distances, grid_noise, noise_at


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_grid_noise_is_the_same_field_at_every_size():
    large, small = grid_noise(rng(), 128, (6, 6), 2), grid_noise(rng(), 64, (6, 6), 2)
    assert large.dtype == np.float32
    means = large.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(means - small).max() < 0.02
    assert np.abs(large).max() <= 1.5


def test_noise_repeats_after_its_knots():
    line = np.linspace(0, 9, 50, dtype=np.float32)
    there = noise_at(rng(), line + 64, line - 128, 2)
    assert there == pytest.approx(noise_at(rng(), line, line, 2), abs=1e-3)


def test_cells_of_a_square_lattice_have_their_middles_half_way():
    x, y = np.meshgrid(np.array([0.5, 1.0], np.float32), np.array([0.5], np.float32))
    near, far, owner = cell_distances(rng(), x, y, jitter=0.0)
    assert near[0] == pytest.approx([0.0, 0.5])
    assert far[0] == pytest.approx([1.0, 0.5])
    assert owner[0, 0] == 0
