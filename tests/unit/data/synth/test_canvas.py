import numpy as np
import pytest

from normscape.data.synth.canvas import Canvas, Fault, Pose, place_on
from normscape.data.synth.shapes import box, disc

RED, WHITE = (1.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def painted(pose: Pose, fault: Fault | None = None) -> Canvas:
    canvas = Canvas(64, pose, fault)
    canvas.lay_ground(WHITE)
    canvas.paint(box(0.3, 0.2), RED, at=(0.2, 0.0), reach=0.4, relief=0.1, part=True)
    return canvas


def lattice(fault: Fault | None = None) -> Canvas:
    canvas = Canvas(64, Pose(), fault)
    canvas.lay_surface(WHITE, (0.0, 0.0, 0.0))
    canvas.paint_lattice(disc(0.1), RED, (0.4, 0.4), stagger=0.5)
    return canvas


def test_a_small_reach_paints_the_same_as_a_large_one():
    pose = Pose(0.1, -0.2, 0.4, 1.1)
    wide = Canvas(64, pose)
    wide.lay_ground(WHITE)
    wide.paint(box(0.3, 0.2), RED, at=(0.2, 0.0), relief=0.1)
    near = painted(pose)
    assert np.array_equal(near.colour, wide.colour)
    assert np.array_equal(near.relief, wide.relief)


def test_the_product_is_what_was_painted():
    canvas = painted(Pose(turn=0.3))
    assert canvas.product.mean() * 4 == pytest.approx(0.24, abs=0.01)
    assert np.array_equal(canvas.product > 0.5, canvas.colour[..., 1] < 0.5)
    assert (canvas.backdrop == 1).all()


def test_a_missing_part_leaves_the_ground():
    key = painted(Pose()).parts[0].key
    assert (painted(Pose(), Fault(key)).colour == 1).all()


def test_a_misplaced_part_is_shifted():
    key = painted(Pose()).parts[0].key
    shifted = painted(Pose(), Fault(key, False, right=-0.2)).product
    assert np.array_equal(
        np.roll(painted(Pose()).product > 0.5, -6, axis=1)[:, 5:-5].any(1),
        (shifted > 0.5)[:, 5:-5].any(1),
    )
    assert shifted.sum() == pytest.approx(painted(Pose()).product.sum(), rel=0.01)


@pytest.mark.parametrize("missing", [True, False])
def test_one_cell_of_a_lattice_is_wrong(missing):
    whole = lattice()
    part = whole.parts[len(whole.parts) // 2]
    wrong = lattice(Fault(part.key, missing, right=0.1))
    changed = np.argwhere((whole.colour != wrong.colour).any(axis=2))
    assert 0 < np.ptp(changed, axis=0).max() <= 64 * 0.35 / 2 + 2
    assert [other.key for other in wrong.parts] == [other.key for other in whole.parts]


def test_a_copy_does_not_share_pixels():
    canvas = painted(Pose())
    before = canvas.colour.copy()
    canvas.copy().colour[:] = 0
    assert np.array_equal(canvas.colour, before)


def test_places_are_drawn_from_the_cover():
    cover = np.zeros((8, 8), dtype=bool)
    cover[3, 5] = True
    rng = np.random.default_rng(0)
    assert place_on(cover, rng) == (3, 5)
    assert place_on(np.zeros((8, 8), dtype=bool), rng) == (4, 4)
