"""What people say of images and types stands, in every later discovery."""

from dataclasses import replace

import pytest
from sklearn.metrics import adjusted_rand_score

from normscape.discovery.assign import assign
from normscape.discovery.edit import label_images, merge_types, name_type, split_type
from normscape.discovery.eyes import Eyes
from normscape.discovery.learn import discover
from normscape.discovery.respace import is_worked_on
from normscape.errors import UsageError

from .support import (
    EYES,
    KINDS,
    NOTHING,
    PARAMS,
    SmallBackbone,
    kind_of_types,
    kinds_of,
    many,
    types_of,
)


@pytest.mark.slow
@pytest.mark.parametrize("eyes", [EYES, Eyes(SmallBackbone("1"))])
def test_what_people_have_worked_on_is_not_sorted_again(learned, eyes):
    flagged, found = learned
    kinds = kind_of_types(learned)
    line = kinds["line"].id
    merged = merge_types(found.catalogue, kinds["spot"].id, line)
    more = [*flagged, *many(KINDS, 14, start=500), *many(["flake"], 8)]

    later = discover(eyes, more, merged, PARAMS)

    assert later.refitted
    assert later.catalogue.fitted == len(more)
    assert types_of(later.catalogue, flagged) == types_of(merged, flagged)
    new = dict(zip(types_of(later.catalogue, more), kinds_of(more), strict=True))
    assert new[kinds["patch"].id] == "patch"
    assert "flake" in {new[name] for name in later.new_types}
    assert is_worked_on(later.catalogue)
    assert not is_worked_on(found.catalogue)


def test_a_few_labels_name_and_steer_the_types():
    flagged = many(KINDS, 8)
    said = [
        replace(each, label="scratch") if each.source in ("line/0.png", "line/1.png") else each
        for each in flagged
    ]

    found = discover(EYES, said, NOTHING, PARAMS)

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

    found = discover(EYES, said, NOTHING, PARAMS).catalogue

    assert {each.name for each in found.living} == {"left", "right"}
    types = types_of(found, flagged)
    assert set(types[:3]) == {found.find("left").id}
    assert set(types[3:6]) == {found.find("right").id}


def test_a_label_of_an_unnamed_type_names_it_and_the_id_stays(learned):
    flagged, found = learned
    line = kind_of_types(learned)["line"].id
    said = [
        replace(each, label="scratch") if each.source in ("line/3.png", "line/7.png") else each
        for each in flagged
    ]

    later = discover(EYES, said, found.catalogue, PARAMS)
    afresh = discover(EYES, said, found.catalogue, PARAMS, afresh=True)

    for run in (later, afresh):
        assert run.new_types == ()
        assert run.catalogue.find("scratch").id == line
        assert types_of(run.catalogue, flagged) == types_of(found.catalogue, flagged)
    assert later.catalogue.members[said[15].sha256].by == "person"


def test_a_label_counts_more_than_what_a_new_image_looks_like(learned):
    flagged, found = learned
    kinds = kind_of_types(learned)
    named = name_type(found.catalogue, kinds["spot"].id, "pit")
    fresh = [
        replace(each, label=label)
        for each, label in zip(
            many(["line"], 4, start=60), ("pit", "T3", "crack", "T99"), strict=True
        )
    ]

    grown = discover(EYES, [*flagged, *fresh], named, PARAMS).catalogue

    pit, third, crack, unknown = (grown.members[each.sha256] for each in fresh)
    assert (pit.type, third.type) == (kinds["spot"].id, "T3")
    assert grown.find(crack.type).name == "crack"
    assert {pit.by, third.by, crack.by} == {"person"}
    assert unknown.by == "model", "an id that no type has is no label"
    again = discover(EYES, [*flagged, *fresh], grown, PARAMS)
    assert again.catalogue is grown


def test_what_a_person_called_good_or_another_product_leaves_the_catalogue(learned):
    flagged, found = learned
    good, other, right = (each.sha256 for each in flagged[:3])

    after = discover(
        EYES, flagged[2:], found.catalogue, PARAMS,
        reviewed={good: None, other: "ring", right: "plate"},
    ).catalogue  # fmt: skip

    assert not {good, other} & after.members.keys()
    assert right in after.members
    assert len(after.points) == len(after.placed) == len(flagged) - 2
    assert assign(EYES, many(["spot"], 2, start=90), after, PARAMS)[0].nearest


def test_names_merges_and_splits(learned):
    flagged, found = learned
    kinds = kind_of_types(learned)
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
    verdicts = assign(EYES, many(["spot", "line"], 5, start=400), parted, PARAMS)
    assert {v.nearest for v in verdicts[:5]} != {v.nearest for v in verdicts[5:]}


def test_what_a_person_says_outlives_discoveries(learned):
    flagged, found = learned
    patch = kind_of_types(learned)["patch"].id
    odd = next(each for each in flagged if each.source.startswith("line"))

    said = label_images(found.catalogue, patch, [odd.sha256[:10]])
    again = discover(EYES, flagged, said, PARAMS, afresh=True)

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
