from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from normscape.data.split import (
    TEST_PERCENT,
    Candidate,
    assign_splits,
    bucket,
    calibration_bounds,
    group_of,
)

PATTERN = r"^(?P<group>.+-r\d+)-"

candidates = st.lists(
    st.builds(
        Candidate,
        st.sampled_from(["bolt", "nut"]),
        st.integers(0, 400).map("part-{}".format),
        st.sampled_from(["train", None]),
        st.just(0),
    ),
    max_size=120,
)
percents = st.integers(1, 50)


def test_buckets_are_fixed() -> None:
    # These numbers are part of the format: another hash would move every image.
    assert [bucket(text) for text in ("", "a", "bolt\0part-1")] == [49, 99, 77]


def test_groups() -> None:
    assert group_of("brick/train/good/brick-r12-003.png", "ab", PATTERN, None) == "brick-r12"
    assert group_of("brick/train/good/other.png", "ab", PATTERN, "S0001") == "S0001"
    assert group_of("brick/train/good/other.png", "ab", None, None) == "ab"
    assert group_of("brick/train/good/other.png", None, None, None).endswith("other.png")


@given(candidates, candidates, percents)
def test_adding_images_moves_none(
    first: list[Candidate], more: list[Candidate], percent: int
) -> None:
    # Away from the top-up: it asks for no image here.
    before = assign_splits(first, percent, 0)
    after = assign_splits(first + more, percent, 0)
    assert after[: len(first)] == before


@given(candidates, percents, st.integers(0, 40))
def test_groups_are_never_split(all_: list[Candidate], percent: int, minimum: int) -> None:
    places = defaultdict(set)
    for candidate, split in zip(all_, assign_splits(all_, percent, minimum), strict=True):
        places[candidate.category, candidate.group, candidate.side].add(split)
    assert all(len(found) == 1 for found in places.values())


@given(candidates, percents, st.integers(0, 40))
def test_the_top_up_only_moves_train_to_calibration(
    all_: list[Candidate], percent: int, minimum: int
) -> None:
    without = assign_splits(all_, percent, 0)
    for before, after in zip(without, assign_splits(all_, percent, minimum), strict=True):
        assert after == before or (before, after) == ("train", "calibration")


@given(candidates, percents, st.integers(0, 40))
def test_bounds_stop_when_there_are_enough(
    all_: list[Candidate], percent: int, minimum: int
) -> None:
    for category, bound in calibration_bounds(all_, percent, minimum).items():
        own = [c for c in all_ if c.category == category]
        below = sum(bucket(f"{c.category}\0{c.group}") < bound for c in own)
        assert bound == 50 or below >= minimum
        if bound not in (percent, 50):
            half = sum(bucket(f"{c.category}\0{c.group}") < bound // 2 for c in own)
            assert half < minimum


@given(candidates)
def test_the_order_does_not_matter(all_: list[Candidate]) -> None:
    forward = assign_splits(all_, 20, 12)
    assert assign_splits(all_[::-1], 20, 12) == forward[::-1]


def test_declared_and_anomalous_images_keep_their_side() -> None:
    given_ = [
        Candidate("bolt", "a", "test", 0),
        Candidate("bolt", "b", "test", 1),
        Candidate("bolt", "c", None, 1),
        Candidate("bolt", "d", "train", 1),  # an error of the data set, told by validation
    ]
    assert assign_splits(given_, 20, 12) == ["test", "test", "test", "train"]


def test_shares_are_as_stated() -> None:
    normals = [Candidate("bolt", f"part {i}", None, 0) for i in range(4000)]
    splits = assign_splits(normals, 20, 12)
    test = splits.count("test") / 4000
    assert abs(test - TEST_PERCENT / 100) < 0.02
    held_out = splits.count("calibration") / (4000 - splits.count("test"))
    assert abs(held_out - 0.2) < 0.02
