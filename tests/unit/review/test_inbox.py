import hashlib
from pathlib import Path

import pandas as pd
import pytest

from normscape.errors import DataError, UsageError
from normscape.files import sha256_file
from normscape.params import Params
from normscape.review.inbox import Selection, keep_drifted, keep_reported, select
from normscape.review.verdicts import Verdict, judge
from normscape.scoring.inbox import Inbox
from normscape.scoring.log import append
from normscape.scoring.paths import score_log
from normscape.scoring.schema import SCHEMA
from normscape.sections.production import ReviewParams

from .conftest import Keep

DAY = "2026-03-14"


def test_a_selection_restricts(params: Params, keep: Keep) -> None:
    flagged = keep("a.png")
    drifted = keep("b.png", reasons=("flagged", "drifted"), day="2026-03-15")
    undeclared = keep("c.png", reasons=("random",), declared=None)
    assert sorted(r.source for r in select(params, Selection())) == [
        "feed/a.png", "feed/b.png", "feed/c.png",
    ]  # fmt: skip
    assert flagged in select(params, Selection(category="grass"))
    assert select(params, Selection(reason="drifted")) == [drifted]
    assert select(params, Selection(category="brick")) == [undeclared]
    assert select(params, Selection(day="2026-03-15", reason="flagged")) == [drifted]
    assert select(params, Selection(status="approved")) == []
    assert len(select(params, Selection(status="all"))) == 3


@pytest.mark.parametrize(
    ("name", "value"), [("reason", "odd"), ("status", "done"), ("day", "yesterday")]
)
def test_a_wrong_selection_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=value):
        Selection(**{name: value})


def log_window(params: Params, count: int) -> list[Path]:
    rows, paths = [], []
    for number in range(count):
        declared = "brick" if number % 3 else None
        path = params.root / "feed" / DAY / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"image {number}".encode())
        paths.append(path)
        rows.append(
            dict.fromkeys(SCHEMA.names)
            | {
                "path": path.relative_to(params.root).as_posix(),
                "sha256": sha256_file(path), "day": DAY, "declared_category": declared,
                "predicted_category": "brick", "score": 1.0, "threshold": 2.0,
                "p_value_declared": 0.3 if declared else None, "p_value_predicted": 0.4,
                "flagged": False, "model_version": "v0001",
            }
        )  # fmt: skip
    other = rows[0] | {"sha256": "f" * 64, "predicted_category": "gravel"}
    bad = rows[0] | {"sha256": "e" * 64, "error": "truncated", "predicted_category": None}
    append(score_log(params), pd.DataFrame([*rows, other, bad])[SCHEMA.names])
    return paths


def test_a_drifted_window_is_kept(params: Params) -> None:
    paths = log_window(params, 6)
    paths[4].unlink()
    kept = keep_drifted(params, DAY, "brick", model_version="v0001")
    assert (kept.images, kept.new, len(kept.lost)) == (6, 5, 1)
    records = Inbox.of(params).records()
    assert {record.reasons for record in records} == {("drifted",)}
    assert {(r.declared, r.p_value) for r in records} == {("brick", 0.3), (None, 0.4)}
    assert keep_drifted(params, DAY, "brick", model_version="v0001").new == 0


def test_a_large_window_is_sampled_the_same_way_each_time(params: Params) -> None:
    log_window(params, 20)
    few = params.model_copy(update={"review": ReviewParams(window_images=5)})
    assert keep_drifted(few, DAY, "brick", model_version="v0001").new == 5
    first = Inbox.of(params).records()
    assert keep_drifted(few, DAY, "brick", model_version="v0001").new == 0
    assert Inbox.of(params).records() == first


def test_other_versions_and_days_are_left_alone(params: Params) -> None:
    log_window(params, 3)
    assert keep_drifted(params, DAY, "brick", model_version="v0002").images == 0
    assert keep_drifted(params, "2026-03-15", "brick", model_version="v0001").images == 0
    assert Inbox.of(params).records() == []


def test_an_image_that_nobody_kept_can_be_reported(params: Params) -> None:
    """A defect that was missed: the score log knows the image, the inbox does not."""
    paths = log_window(params, 4)
    digest = sha256_file(paths[2])
    record = keep_reported(params, DAY, digest[:12])
    assert (record.sha256, record.reasons, record.declared) == (digest, ("reported",), "brick")
    [outcome] = judge(params, [record], Verdict("missed_defect", "brick", "crack"))
    assert (params.data / str(outcome.record.file)).read_bytes() == b"image 2"
    with pytest.raises(UsageError, match=r"no images scored for .* begins with 'ffff0'"):
        keep_reported(params, DAY, "ffff0")
    with pytest.raises(UsageError, match="give more digits"):
        keep_reported(params, DAY, "")
    paths[1].unlink()
    with pytest.raises(DataError):
        keep_reported(params, DAY, hashlib.sha256(b"image 1").hexdigest())
