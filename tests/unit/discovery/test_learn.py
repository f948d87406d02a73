"""Discoveries over the life of a catalogue, on drawn defects and a small backbone."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from normscape.discovery.assign import assign
from normscape.discovery.catalogue import Catalogue
from normscape.discovery.edit import label_images, merge_types, name_type, split_type
from normscape.discovery.learn import discover
from normscape.discovery.regions import square
from normscape.discovery.respace import is_worked_on
from normscape.errors import UsageError
from normscape.sections.production import DiscoveryParams

from .support import KINDS, SmallBackbone, flagged_image, kinds_of, many

PARAMS = DiscoveryParams(views=6, dimensions=12, max_types=4)
BACKBONE = SmallBackbone()
NOTHING = Catalogue("plate", {})


@pytest.fixture(scope="module")
def learned():
    """A catalogue of three kinds, twelve images each."""
    flagged = many(KINDS, 12)
    return flagged, discover(BACKBONE, flagged, NOTHING, PARAMS)


def types_of(catalogue, flagged):
    return [catalogue.members[each.sha256].type for each in flagged]


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

    again = discover(BACKBONE, flagged, found.catalogue, PARAMS)

    assert again.catalogue is found.catalogue
    assert not again.new_types
    assert not again.new_images


def test_new_images_are_sorted_by_the_stored_prototypes(learned):
    _, found = learned
    fresh = many(KINDS, 6, start=100)

    verdicts = assign(BACKBONE, fresh, found.catalogue, PARAMS)

    names = {each.id: kind for kind, each in _kind_of_types(learned).items()}
    sure = [(v, kind) for v, kind in zip(verdicts, kinds_of(fresh), strict=True) if v.type]
    assert len(sure) >= 12
    assert all(names[verdict.type] == kind for verdict, kind in sure)
    assert all(verdict.nearest for verdict in verdicts)


def test_old_images_keep_their_ids_when_a_fifth_is_new(learned):
    flagged, found = learned
    more = [*flagged, *many(KINDS, 3, start=200)]
    before = types_of(found.catalogue, flagged)

    grown = discover(BACKBONE, more, found.catalogue, PARAMS)
    afresh = discover(BACKBONE, more, found.catalogue, PARAMS, afresh=True)

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

    grown = discover(BACKBONE, [*flagged, *strange], found.catalogue, PARAMS)

    assert grown.new_types == ("T4",)
    assert types_of(grown.catalogue, strange).count("T4") >= 6
    assert types_of(grown.catalogue, flagged) == types_of(found.catalogue, flagged)
    later = assign(BACKBONE, many(["flake"], 4, start=300), grown.catalogue, PARAMS)
    assert [verdict.nearest for verdict in later] == ["T4"] * 4


def test_few_strange_images_are_of_no_type(learned):
    flagged, found = learned
    strange = many(["flake"], 3)

    grown = discover(BACKBONE, [*flagged, *strange], found.catalogue, PARAMS)

    assert grown.new_types == ()
    assert types_of(grown.catalogue, strange) == [None] * 3


@pytest.mark.parametrize("count", [0, 1, 4])
def test_few_images_make_no_type_and_say_so(count):
    found = discover(BACKBONE, many(["spot"], count), NOTHING, PARAMS)

    assert found.catalogue.living == ()
    assert len(found.catalogue.members) == count
    if count:
        assert f"{count} flagged images show a region; expected at least 5" in found.notes[-1]


def test_five_images_and_equal_images_are_one_kind():
    one = flagged_image("spot", 1)
    equal = [replace(one, sha256=f"{number:064x}") for number in range(1, 21)]

    five = discover(BACKBONE, many(["spot"], 5), NOTHING, PARAMS)
    same = discover(BACKBONE, equal, NOTHING, PARAMS)

    assert [each.id for each in five.catalogue.living] == ["T1"]
    assert [each.id for each in same.catalogue.living] == ["T1"]
    assert set(types_of(same.catalogue, equal)) == {"T1"}


def test_images_whose_maps_show_nothing_are_of_no_type():
    flagged = many(KINDS, 6)
    empty = [replace(each, map=np.ones_like(each.map)) for each in many(["line"], 3, start=50)]

    found = discover(BACKBONE, [*flagged, *empty], NOTHING, PARAMS)
    only = discover(BACKBONE, empty, NOTHING, PARAMS)

    assert types_of(found.catalogue, empty) == [None] * 3
    assert any("3 of 21 flagged images have a map that is the same" in n for n in found.notes)
    assert only.catalogue.living == ()
    assert [verdict.type for verdict in assign(BACKBONE, empty, found.catalogue, PARAMS)] == [
        None
    ] * 3


def test_without_a_foreground_everything_counts_as_object(learned):
    _, found = learned

    assert found.catalogue.knowledge.prior is None
    assert any("no object stands out" in note for note in found.notes)


def test_another_backbone_learns_anew_and_ids_stay(learned):
    flagged, found = learned

    again = discover(SmallBackbone("1"), flagged, found.catalogue, PARAMS)

    assert again.refitted
    assert again.new_types == ()
    assert types_of(again.catalogue, flagged) == types_of(found.catalogue, flagged)


@pytest.mark.parametrize("backbone", [BACKBONE, SmallBackbone("1")])
def test_what_people_have_worked_on_is_not_sorted_again(learned, backbone):
    flagged, found = learned
    kinds = _kind_of_types(learned)
    line = kinds["line"].id
    merged = merge_types(found.catalogue, kinds["spot"].id, line)
    more = [*flagged, *many(KINDS, 14, start=500), *many(["flake"], 8)]

    later = discover(backbone, more, merged, PARAMS)

    assert later.refitted
    assert later.catalogue.fitted == len(more)
    assert types_of(later.catalogue, flagged) == types_of(merged, flagged)
    new = dict(zip(types_of(later.catalogue, more), kinds_of(more), strict=True))
    assert new[kinds["patch"].id] == "patch"
    assert "flake" in {new[name] for name in later.new_types}
    assert is_worked_on(later.catalogue)
    assert not is_worked_on(found.catalogue)


def test_a_given_number_of_types_is_kept_to():
    found = discover(BACKBONE, many(KINDS, 6), NOTHING, PARAMS.model_copy(update={"types": 2}))

    assert len(found.catalogue.living) == 2
    assert found.count is None


def test_a_few_labels_name_and_steer_the_types():
    flagged = many(KINDS, 8)
    said = [
        replace(each, label="scratch") if each.source in ("line/0.png", "line/1.png") else each
        for each in flagged
    ]

    found = discover(BACKBONE, said, NOTHING, PARAMS)

    scratch = found.catalogue.find("scratch")
    lines = [each for each in flagged if each.source.startswith("line")]
    assert types_of(found.catalogue, lines).count(scratch.id) >= 7
    assert sum(member.by == "person" for member in found.catalogue.members.values()) == 2


def test_labels_that_part_what_looks_alike_are_kept_to():
    flagged = many(["spot"], 10)
    said = [
        replace(each, label="left" if number < 3 else "right" if number < 6 else None)
        for number, each in enumerate(flagged)
    ]

    found = discover(BACKBONE, said, NOTHING, PARAMS).catalogue

    assert {each.name for each in found.living} == {"left", "right"}
    types = types_of(found, flagged)
    assert set(types[:3]) == {found.find("left").id}
    assert set(types[3:6]) == {found.find("right").id}


def test_a_label_of_an_unnamed_type_names_it_and_the_id_stays(learned):
    flagged, found = learned
    line = _kind_of_types(learned)["line"].id
    said = [
        replace(each, label="scratch") if each.source in ("line/3.png", "line/7.png") else each
        for each in flagged
    ]

    later = discover(BACKBONE, said, found.catalogue, PARAMS)
    afresh = discover(BACKBONE, said, found.catalogue, PARAMS, afresh=True)

    for run in (later, afresh):
        assert run.new_types == ()
        assert run.catalogue.find("scratch").id == line
        assert types_of(run.catalogue, flagged) == types_of(found.catalogue, flagged)
    assert later.catalogue.members[said[15].sha256].by == "person"


def test_a_label_counts_more_than_what_a_new_image_looks_like(learned):
    flagged, found = learned
    kinds = _kind_of_types(learned)
    named = name_type(found.catalogue, kinds["spot"].id, "pit")
    fresh = [
        replace(each, label=label)
        for each, label in zip(
            many(["line"], 4, start=60), ("pit", "T3", "crack", "T99"), strict=True
        )
    ]

    grown = discover(BACKBONE, [*flagged, *fresh], named, PARAMS).catalogue

    pit, third, crack, unknown = (grown.members[each.sha256] for each in fresh)
    assert (pit.type, third.type) == (kinds["spot"].id, "T3")
    assert grown.find(crack.type).name == "crack"
    assert {pit.by, third.by, crack.by} == {"person"}
    assert unknown.by == "model", "an id that no type has is no label"
    again = discover(BACKBONE, [*flagged, *fresh], grown, PARAMS)
    assert again.catalogue is grown


def test_what_a_person_called_good_or_another_product_leaves_the_catalogue(learned):
    flagged, found = learned
    good, other, right = (each.sha256 for each in flagged[:3])

    after = discover(
        BACKBONE, flagged[2:], found.catalogue, PARAMS,
        reviewed={good: None, other: "ring", right: "plate"},
    ).catalogue  # fmt: skip

    assert not {good, other} & after.members.keys()
    assert right in after.members
    assert len(after.points) == len(after.placed) == len(flagged) - 2
    assert assign(BACKBONE, many(["spot"], 2, start=90), after, PARAMS)[0].nearest


def test_regions_of_one_image_may_be_of_several_types(learned):
    _, found = learned
    kinds = _kind_of_types(learned)

    (verdict,) = assign(BACKBONE, [_two_defects()], found.catalogue, PARAMS)

    assert [region.type for region in verdict.regions] == [kinds["patch"].id, kinds["line"].id]
    (patch, line) = verdict.regions
    assert verdict.nearest == patch.type
    assert patch.area > line.area
    assert patch.y < 0.5 < line.y
    grown = discover(BACKBONE, [_two_defects()], found.catalogue, PARAMS).catalogue
    member = grown.members[_two_defects().sha256]
    assert line.type in (member.type, *member.also)
    merged = merge_types(grown, kinds["line"].id, kinds["patch"].id)
    assert line.type not in merged.members[member.sha256].also


def test_prototypes_of_another_backbone_assign_nothing(learned):
    with pytest.raises(UsageError, match="were learned with the backbone small"):
        assign(SmallBackbone("1"), many(["spot"], 1), learned[1].catalogue, PARAMS)


def test_too_few_images_once_more_change_nothing():
    few = many(["spot"], 3)
    known = discover(BACKBONE, few, NOTHING, PARAMS).catalogue

    assert discover(BACKBONE, few, known, PARAMS).catalogue is known


def test_names_merges_and_splits(learned):
    flagged, found = learned
    kinds = _kind_of_types(learned)
    spot, line = kinds["spot"].id, kinds["line"].id

    named = name_type(found.catalogue, spot, "  pit  hole ")
    merged = merge_types(named, line, "pit hole")
    parted = split_type(merged, "pit hole", 2)

    assert named.find("pit hole").id == spot
    assert merged.counts[spot] == 24
    assert merged.counts[line] == 0
    with pytest.raises(UsageError, match=f"was merged into {spot}"):
        merged.find(line)
    fresh = [each for each in parted.living if each.part_of == spot]
    assert len(fresh) == 1
    assert fresh[0].id == "T4", "an id is never given again"
    pairs = [each for each in flagged if not each.source.startswith("patch")]
    assert adjusted_rand_score(kinds_of(pairs), types_of(parted, pairs)) > 0.9
    verdicts = assign(BACKBONE, many(["spot", "line"], 5, start=400), parted, PARAMS)
    assert {v.nearest for v in verdicts[:5]} != {v.nearest for v in verdicts[5:]}


def test_what_a_person_says_outlives_discoveries(learned):
    flagged, found = learned
    patch = _kind_of_types(learned)["patch"].id
    odd = next(each for each in flagged if each.source.startswith("line"))

    said = label_images(found.catalogue, patch, [odd.sha256[:10]])
    again = discover(BACKBONE, flagged, said, PARAMS, afresh=True)

    assert said.members[odd.sha256].type == patch
    assert again.catalogue.members[odd.sha256].type == patch
    assert again.catalogue.members[odd.sha256].by == "person"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: name_type(c, "T9", "x"), "has no type 'T9'; it has T1, T2, T3"),
        (lambda c: name_type(c, "T1", " "), "is no name of a type"),
        (lambda c: name_type(c, "T1", "T2"), "not the form of an id"),
        (lambda c: name_type(name_type(c, "T1", "pit"), "T2", "pit"), "is named 'pit' already"),
        (lambda c: merge_types(c, "T1", "T1"), "cannot be merged into itself"),
        (lambda c: split_type(c, "T1", 9), "expected at least 18"),
        (lambda c: split_type(c, "T1", 1), "at least 2"),
        (lambda c: label_images(c, "T1", ["zz"]), "too few digits"),
        (lambda c: label_images(c, "T1", ["ffffffff"]), "0 images"),
    ],
)
def test_what_cannot_be_done_is_said(learned, change, message):
    with pytest.raises(UsageError, match=message):
        change(learned[1].catalogue)


def _two_defects():
    """A large patch above, a line below."""
    upper, lower = flagged_image("patch", 2), flagged_image("line", 2)
    image = Image.new("RGB", (128, 256))
    image.paste(upper.read(), (0, 0))
    image.paste(lower.read(), (0, 128))
    values = np.concatenate([upper.map, lower.map])
    return replace(upper, sha256="2" * 64, map=square(values), read=lambda: image)


def _kind_of_types(learned):
    flagged, found = learned
    types = dict(zip(types_of(found.catalogue, flagged), kinds_of(flagged), strict=True))
    return {kind: found.catalogue.find(name) for name, kind in types.items()}
