"""The measures of groups: what is in no group counts as wrong, and numbers do not matter."""

import numpy as np
import pytest

from bench.discovery_kinds import means
from bench.discovery_measures import grouping, micro_f1

TRUTH = np.array(["a"] * 4 + ["b"] * 4)


def test_right_groups_are_right_whatever_their_numbers():
    found = grouping(TRUTH, np.array([7] * 4 + [2] * 4))

    assert found == pytest.approx({"nmi": 1.0, "ari": 1.0, "f1": 1.0})


def test_images_in_no_group_count_as_wrong():
    some = np.array([0, 0, -1, -1, 1, 1, 1, -1])

    found = grouping(TRUTH, some)

    assert found["f1"] == pytest.approx(5 / 8)
    assert found["nmi"] < 1.0
    assert micro_f1(TRUTH, np.full(8, -1)) == 0.0


def test_a_group_stands_for_one_kind_only():
    assert micro_f1(TRUTH, np.zeros(8, dtype=int)) == 0.5
    assert micro_f1(TRUTH, np.arange(8)) == pytest.approx(2 / 8)


def test_the_number_of_kinds_is_judged_by_category_not_on_average():
    runs = [{"kinds": 5, "all": {"estimated_kinds": n}} for n in (3, 5, 6, 7)]

    found = means(runs)

    assert found["error_of_kinds"] == pytest.approx(1.25)
    assert found["within_one"] == 0.5
