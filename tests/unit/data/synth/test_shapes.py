import numpy as np
import pytest

from normscape.data.synth.shapes import both, box, cross, cut, disc, lobed, moved, polygon, ring

LINE = np.linspace(-1, 1, 201, dtype=np.float32)
X, Y = np.meshgrid(LINE, LINE)


def area(shape) -> float:
    return float((shape(X, Y) < 0).mean() * 4)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (disc(0.5), np.pi / 4),
        (box(0.5, 0.25), 0.5),
        (box(0.5, 0.5, 0.5), np.pi / 4),
        (ring(0.6, 0.2), np.pi * (0.49 - 0.25)),
        (polygon(4, 0.5), 1.0),
        (lobed(9, 0.5, 0.0), np.pi / 4),
        (cross(0.6, 0.1), 4 * 0.6 * 0.1 * 2 - 4 * 0.01),
        (cut(disc(0.5), disc(0.25)), np.pi * (0.25 - 0.0625)),
        (both(box(0.2, 0.2), moved(box(0.2, 0.2), 0.5, 0.5)), 0.32),
    ],
)
def test_area(shape, expected):
    assert area(shape) == pytest.approx(expected, abs=0.03)
