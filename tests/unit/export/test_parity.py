from dataclasses import replace

import pytest

from normscape.export.parity import Parity
from normscape.sections.delivery import ExportParams

LIMITS = ExportParams()
GOOD = Parity(
    images=9, categories=2, score=0.001, map=0.01, category_distance=1e-4, strangeness=1e-4,
    p_value=1e-7, other_category=0, other_decision=0,
)  # fmt: skip


def test_small_differences_pass_and_are_recorded_with_their_limits() -> None:
    assert GOOD.failures(LIMITS) == []
    assert GOOD.as_dict(LIMITS)["score"] == 0.001
    assert GOOD.as_dict(LIMITS)["score_tolerance"] == LIMITS.score_tolerance


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("score", 0.02, "scores differ by up to 0.02"),
        ("map", 0.06, "maps differ"),
        ("category_distance", 0.5, "category distances differ"),
        ("p_value", 0.1, "p-values differ"),
        ("score", float("nan"), "scores differ by up to nan"),
        ("other_category", 1, "1 of 9 images have another category"),
        ("other_decision", 2, "2 of 9 decisions are the opposite"),
    ],
)
def test_each_difference_is_named(field: str, value: float, words: str) -> None:
    failures = replace(GOOD, **{field: value}).failures(LIMITS)
    assert len(failures) == 1
    assert words in failures[0]
