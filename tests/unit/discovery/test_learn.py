"""Discoveries over the life of a catalogue, on drawn defects and a small backbone."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from normscape.discovery.assign import assign
from normscape.discovery.edit import merge_types
from normscape.discovery.eyes import Eyes
from normscape.discovery.learn import discover
from normscape.discovery.regions import square
from normscape.errors import UsageError

from .support import (
    EYES,
    KINDS,
    NOTHING,
    PARAMS,
    SmallBackbone,
    flagged_image,
    kind_of_types,
    kinds_of,
    many,
    types_of,
)


def test_the_drawn_kinds_are_found_and_their_number_with_them(learned):
    flagged, found = learned

    assert len(found.catalogue.living) == 3
    assert found.new_types == ("T1", "T2", "T3")
    assert adjusted_rand_score(kinds_of(flagged), types_of(found.catalogue, flagged)) > 0.95
    assert found.count is not None
    assert found.count.stability[3] == max(found.count.stability.values())
    for member in found.catalogue.members.values():
        assert 0 < member.confidence <= 1
        assert 0 < member.p_value <= 1


def test_the_same_images_again_change_nothing(learned):
    flagged, found = learned

    again = discover(EYES, flagged, found.catalogue, PARAMS)

    assert again.catalogue is found.catalogue
    assert not again.new_types
    assert not again.new_images


def test_new_images_are_sorted_by_the_stored_prototypes(learned):
    _, found = learned
    fresh = many(KINDS, 6, start=100)

    verdicts = assign(EYES, fresh, found.catalogue, PARAMS)

    names = {each.id: kind for kind, each in kind_of_types(learned).items()}
    sure = [(v, kind) for v, kind in zip(verdicts, kinds_of(fresh), strict=True) if v.type]
    assert len(sure) >= 12
    assert all(names[verdict.type] == kind for verdict, kind in sure)
    assert all(verdict.nearest for verdict in verdicts)


def test_old_images_keep_their_ids_when_a_fifth_is_new(learned):
    flagged, found = learned
    more = [*flagged, *many(KINDS, 3, start=200)]
    before = types_of(found.catalogue, flagged)

    grown = discover(EYES, more, found.catalogue, PARAMS)
    afresh = discover(EYES, more, found.catalogue, PARAMS, afresh=True)

    assert not grown.refitted
    assert afresh.refitted
    for run in (grown, afresh):
        kept = np.mean(
            [a == b for a, b in zip(before, types_of(run.catalogue, flagged), strict=True)]
        )
        assert kept >= 0.95
        assert len(run.new_images) == 9


def test_a_kind_never_seen_becomes_a_new_type_and_the_others_stay(learned):
    flagged, found = learned
    strange = many(["flake"], 8)

    grown = discover(EYES, [*flagged, *strange], found.catalogue, PARAMS)

    assert grown.new_types == ("T4",)
    assert types_of(grown.catalogue, strange).count("T4") >= 6
    assert types_of(grown.catalogue, flagged) == types_of(found.catalogue, flagged)
    later = assign(EYES, many(["flake"], 4, start=300), grown.catalogue, PARAMS)
    assert [verdict.nearest for verdict in later] == ["T4"] * 4


def test_few_strange_images_are_of_no_type(learned):
    flagged, found = learned
    strange = many(["flake"], 3)

    grown = discover(EYES, [*flagged, *strange], found.catalogue, PARAMS)

    assert grown.new_types == ()
    assert types_of(grown.catalogue, strange) == [None] * 3


@pytest.mark.parametrize("count", [0, 1, 4])
def test_few_images_make_no_type_and_say_so(count):
    found = discover(EYES, many(["spot"], count), NOTHING, PARAMS)

    assert found.catalogue.living == ()
    assert len(found.catalogue.members) == count
    if count:
        assert f"{count} flagged images show a region; expected at least 5" in found.notes[-1]


def test_five_images_and_equal_images_are_one_kind():
    one = flagged_image("spot", 1)
    equal = [replace(one, sha256=f"{number:064x}") for number in range(1, 21)]

    five = discover(EYES, many(["spot"], 5), NOTHING, PARAMS)
    same = discover(EYES, equal, NOTHING, PARAMS)

    assert [each.id for each in five.catalogue.living] == ["T1"]
    assert [each.id for each in same.catalogue.living] == ["T1"]
    assert set(types_of(same.catalogue, equal)) == {"T1"}


def test_images_whose_maps_show_nothing_are_of_no_type():
    flagged = many(KINDS, 6)
    empty = [replace(each, map=np.ones_like(each.map)) for each in many(["line"], 3, start=50)]

    found = discover(EYES, [*flagged, *empty], NOTHING, PARAMS)
    only = discover(EYES, empty, NOTHING, PARAMS)

    assert types_of(found.catalogue, empty) == [None] * 3
    assert any("3 of 21 flagged images have a map that is the same" in n for n in found.notes)
    assert only.catalogue.living == ()
    assert [verdict.type for verdict in assign(EYES, empty, found.catalogue, PARAMS)] == [None] * 3


def test_without_a_foreground_everything_counts_as_object(learned):
    _, found = learned

    assert found.catalogue.knowledge.prior is None
    assert any("no object stands out" in note for note in found.notes)


def test_another_backbone_learns_anew_and_ids_stay(learned):
    flagged, found = learned

    again = discover(Eyes(SmallBackbone("1")), flagged, found.catalogue, PARAMS)

    assert again.refitted
    assert again.new_types == ()
    assert types_of(again.catalogue, flagged) == types_of(found.catalogue, flagged)


def test_a_given_number_of_types_is_kept_to():
    found = discover(EYES, many(KINDS, 6), NOTHING, PARAMS.model_copy(update={"types": 2}))

    assert len(found.catalogue.living) == 2
    assert found.count is None


def test_regions_of_one_image_may_be_of_several_types(learned):
    _, found = learned
    kinds = kind_of_types(learned)

    (verdict,) = assign(EYES, [_two_defects()], found.catalogue, PARAMS)

    assert [region.type for region in verdict.regions] == [kinds["patch"].id, kinds["line"].id]
    (patch, line) = verdict.regions
    assert verdict.nearest == patch.type
    assert patch.area > line.area
    assert patch.y < 0.5 < line.y
    grown = discover(EYES, [_two_defects()], found.catalogue, PARAMS).catalogue
    member = grown.members[_two_defects().sha256]
    assert line.type in (member.type, *member.also)
    merged = merge_types(grown, kinds["line"].id, kinds["patch"].id)
    assert line.type not in merged.members[member.sha256].also


def test_prototypes_of_another_backbone_assign_nothing(learned):
    with pytest.raises(UsageError, match="were learned with the backbone small"):
        assign(Eyes(SmallBackbone("1")), many(["spot"], 1), learned[1].catalogue, PARAMS)


def test_too_few_images_once_more_change_nothing():
    few = many(["spot"], 3)
    known = discover(EYES, few, NOTHING, PARAMS).catalogue

    assert discover(EYES, few, known, PARAMS).catalogue is known


def _two_defects():
    """A large patch above, a line below."""
    upper, lower = flagged_image("patch", 2), flagged_image("line", 2)
    image = Image.new("RGB", (128, 256))
    image.paste(upper.read(), (0, 0))
    image.paste(lower.read(), (0, 128))
    values = np.concatenate([upper.map, lower.map])
    return replace(upper, sha256="2" * 64, map=square(values), read=lambda: image)
