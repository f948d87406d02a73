import itertools

import numpy as np
import pandas as pd
import pytest

from normscape.novelty import Source, find_unknown
from normscape.novelty.counts import strange_count_p_value
from normscape.sections.production import MonitorParams

PARAMS = MonitorParams()
KNOWN = ("bolt", "cap")
REFERENCE = 99


def images(count, *, declared=None, predicted="cap", p_value=0.5, prefix="a", flagged=False):
    return pd.DataFrame(
        {
            "path": [f"{prefix}{number}.png" for number in range(count)],
            "sha256": [f"{prefix}{number}" for number in range(count)],
            "declared_category": pd.Series([declared] * count, dtype=object),
            "predicted_category": predicted,
            "category_p_value": p_value,
            "flagged": flagged,
        }
    )


def judge(*frames, drifted=(), reference_images=REFERENCE):
    return find_unknown(
        pd.concat(frames, ignore_index=True), KNOWN, PARAMS,
        reference_images=reference_images, alpha=0.01, drifted=drifted,
    )  # fmt: skip


def test_an_unknown_name_is_an_alert_at_once():
    (group,) = judge(images(2, declared="grass", p_value=0.9)).unknown
    assert (group.name, group.source, group.images) == ("grass", Source.NAME, 2)
    assert group.paths == ("a0.png", "a1.png")


def test_an_undeclared_group_of_strange_images_is_a_new_product():
    (group,) = judge(images(12, p_value=0.01), images(18, prefix="b")).unknown
    assert (group.source, group.strange, group.images) == (Source.UNDECLARED, 12, 30)
    assert set(group.hashes) == {f"a{number}" for number in range(12)}


def test_a_new_product_may_resemble_several_known_ones():
    parts = [images(7, p_value=0.01), images(7, p_value=0.01, predicted="bolt", prefix="b")]
    (group,) = judge(*parts, images(30, prefix="c")).unknown
    assert (group.source, group.strange, group.images) == (Source.UNDECLARED, 14, 44)
    assert group.nearest == (("bolt", 0.5), ("cap", 0.5))
    assert len(judge(images(14, p_value=0.01), images(3, predicted="bolt", prefix="b")).groups) == 2


def test_a_few_strange_images_are_defects():
    assert not judge(images(3, p_value=0.01)).unknown
    assert not judge(images(5, p_value=0.01), images(35, prefix="b")).unknown
    defects = [images(11, p_value=0.01), images(9, prefix="b", flagged=True)]
    assert not judge(*defects).unknown


def test_drift_of_a_declared_category_is_not_a_new_product():
    found = judge(images(40, declared="cap", p_value=0.001))
    assert not found.groups


def test_wrong_declarations_are_tested_and_named():
    wrong = images(10, declared="bolt", predicted="cap", p_value=0.001)
    right = images(10, declared="bolt", predicted="bolt", prefix="b")
    (group,) = judge(wrong, right).unknown
    assert (group.name, group.source, group.strange) == ("bolt", Source.MISDECLARED, 10)
    assert not judge(wrong, right, drifted=["bolt"]).unknown


@pytest.mark.slow
@pytest.mark.parametrize("reference_images", [12, 300])
def test_known_products_with_defects_are_not_called_new(reference_images):
    """False alarms over whole simulated days, the calibration set drawn anew each time."""
    rng = np.random.default_rng(reference_images)
    alarms = {0.1: 0, 0.5: 0, 1.0: 0}
    for share, _ in itertools.product(alarms, range(150)):
        reference = rng.normal(size=reference_images)
        distances = rng.normal(size=30)
        defective = rng.random(30) < share
        distances[defective & (rng.random(30) < PARAMS.unknown_share)] += 9.0
        beyond = (reference[None, :] >= distances[:, None]).sum(axis=1)
        day = images(30)
        day["flagged"] = defective | (rng.random(30) < 0.05)
        day["category_p_value"] = (1 + beyond) / (reference_images + 1)
        alarms[share] += bool(judge(day, reference_images=reference_images).unknown)
    assert sum(alarms.values()) / 450 <= 0.01


def test_a_new_product_is_found_with_a_dozen_reference_images():
    assert judge(images(12, p_value=1 / 13), reference_images=12).unknown


def test_the_count_is_more_cautious_than_a_binomial():
    few = strange_count_p_value(6, 20, reference_images=12, counted=1, share=0.0)
    many = strange_count_p_value(6, 20, reference_images=10**6, counted=76923, share=0.0)
    assert few > 3 * many
    assert strange_count_p_value(0, 20, reference_images=12, counted=1, share=0.1) == 1.0


def test_nothing_to_judge():
    assert judge(images(0)).groups == ()


def reference(confused=0):
    predicted = ["cap"] * confused + ["bolt"] * (12 - confused)
    return pd.DataFrame({"category": "bolt", "predicted_category": predicted})


def swapped(count, right=10, confused=0):
    frames = [
        images(count, declared="bolt", predicted="cap"),
        images(right, declared="bolt", predicted="bolt", prefix="b"),
    ]
    return find_unknown(
        pd.concat(frames, ignore_index=True), KNOWN, PARAMS,
        reference_images=REFERENCE, alpha=0.01, reference=reference(confused),
    ).unknown  # fmt: skip


def test_images_declared_as_one_known_product_that_are_another():
    (group,) = swapped(10)
    assert (group.name, group.source, group.strange) == ("bolt", Source.SWAPPED, 10)
    assert group.nearest == (("cap", 1.0),)
    assert group.command("2026-03-14") is None, "nothing is to be added"
    assert not swapped(2)
    assert not swapped(10, confused=4), "products that the model cannot tell apart"


def test_the_command_names_the_images_or_the_day():
    few = judge(images(3, declared="grass")).unknown[0].command("2026-03-14") or ""
    assert few == "normscape review approve a0 a1 a2 --category grass"
    many = judge(images(50, p_value=0.01)).unknown[0].command("2026-03-14") or ""
    assert "--all --reason unknown --day 2026-03-14 --category NEW_NAME" in many
