import numpy as np
import pytest

from normscape.data.synth.defects import FAULTS, MARKS, Severity, draw_fault, kinds_of
from normscape.data.synth.families import FAMILIES
from normscape.data.synth.render import DEFECT_KINDS, category, render


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_enough_kinds_of_defects(name):
    kinds = kinds_of(FAMILIES[name])
    assert len(set(kinds)) == len(kinds) >= DEFECT_KINDS
    assert set(kinds) <= {*MARKS, *FAULTS}


def test_clear_defects_change_more_than_subtle_ones():
    gear = category(0, 1)
    canvas = _specimen(gear)
    for kind, mark in MARKS.items():
        changes = []
        for severity in (Severity(0.1, 0.1), Severity(1.0, 1.0)):
            changed = canvas.copy()
            mark(changed, np.random.default_rng(5), severity, gear.palette)
            colour = np.abs(changed.colour - canvas.colour).sum()
            changes.append(float(colour + np.abs(changed.relief - canvas.relief).sum()))
        assert 0 < changes[0] < changes[1], kind


def test_a_product_without_parts_has_no_fault():
    stone = _specimen(category(0, 3))
    assert draw_fault("missing_part", stone, np.random.default_rng(0), Severity(1, 1)) is None


def test_the_six_kinds_take_turns():
    drawn = category(0, 4)
    kinds = [render(drawn, "test_anomalous", index, 64).kind for index in range(7)]
    assert kinds == [*drawn.kinds, drawn.kinds[0]]
    assert len(set(drawn.kinds)) == DEFECT_KINDS


def _specimen(drawn):
    from normscape.data.synth.canvas import Canvas, Pose

    canvas = Canvas(96, Pose())
    drawn.painter(canvas, np.random.default_rng(1))
    return canvas
