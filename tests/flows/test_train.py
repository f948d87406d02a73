"""What the training and scoring flows decide before they do anything."""

from pathlib import Path

import pytest

from flows.feed import unscored_days
from flows.train import nothing_new
from normscape.errors import UsageError
from normscape.params import load_params
from tests.unit.monitoring.support import Line


@pytest.fixture
def line(tmp_path: Path) -> Line:
    made = Line(tmp_path)
    pin(tmp_path, "d.dir")
    return made


def pin(root: Path, md5: str) -> None:
    (root / "data.dvc").write_text(f"outs:\n- md5: {md5}\n  size: 1\n  nfiles: 1\n  path: data\n")


def test_the_same_data_and_parameters_hold_nothing_new(line: Line) -> None:
    sentence = nothing_new.fn(line.params)
    assert sentence is not None
    assert sentence.startswith("nothing new to learn: v0001 was made from the same data")
    assert "no image waits for review" in sentence


@pytest.mark.slow
def test_images_that_wait_for_review_are_counted(line: Line) -> None:
    from monitoring.watch import watch

    line.day("2026-03-11", "nut", 15, shift=4)
    watch(line.params)
    sentence = nothing_new.fn(line.params)
    assert sentence is not None
    assert "15 images wait for review" in sentence
    assert "15 drifted" in sentence


def test_other_data_or_parameters_are_new(line: Line) -> None:
    root = line.params.root
    pin(root, "e.dir")
    assert nothing_new.fn(line.params) is None
    pin(root, "d.dir")
    (root / "params.yaml").write_text("detector: {seed: 7}\n")
    assert nothing_new.fn(load_params(root / "params.yaml")) is None
    (root / "params.yaml").write_text("monitor: {min_images: 9}\n")
    assert nothing_new.fn(load_params(root / "params.yaml")) is not None


def test_without_a_champion_everything_is_new(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("{}\n")
    assert nothing_new.fn(load_params(tmp_path / "params.yaml")) is None


def test_days_with_images_that_nobody_has_scored(line: Line) -> None:
    root, feed = line.params.root, line.params.root / "feed"
    line.day("2026-03-10", "nut", 3)
    line.day("2026-03-11", "nut", 3)
    assert unscored_days(feed, line.params) == []
    scored = feed / "2026-03-10/nut/000.png"
    (feed / "2026-03-10/nut/copy.png").write_bytes(scored.read_bytes())
    assert unscored_days(feed, line.params) == []
    (feed / "2026-03-11/nut/late.png").write_bytes(scored.read_bytes() + b"x")
    (feed / "notes").mkdir()
    assert unscored_days(feed, line.params) == [feed / "2026-03-11"]
    with pytest.raises(UsageError, match="expected a feed"):
        unscored_days(root / "nosuch", line.params)
