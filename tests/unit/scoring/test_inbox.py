import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from normscape.errors import DataError, NormscapeError, UsageError
from normscape.scoring.inbox import Inbox, Pruned
from normscape.scoring.record import Record


def make_inbox(folder: Path, limit: int = 100) -> Inbox:
    return Inbox(folder / "inbox", folder / "locks" / "inbox.lock", limit)


def image(folder: Path, name: str) -> tuple[Path, str]:
    path = folder / "feed" / f"{name}.PNG"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(name.encode())
    return path, hashlib.sha256(name.encode()).hexdigest()


def record(sha256: str, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "sha256": sha256, "source": "feed/a.PNG", "day": "2026-03-14", "reasons": ("flagged",),
        "declared": "brick", "predicted": "brick", "score": 2.0, "p_value": 0.01,
        "threshold": 1.5, "model_version": "v0001",
    }  # fmt: skip
    return Record(**(values | changes))


def keep(inbox: Inbox, folder: Path, name: str, **changes: Any) -> Record:
    path, sha256 = image(folder, name)
    inbox.keep(record(sha256, **changes), path)
    return inbox.find(sha256)


def test_an_image_is_kept_with_its_record(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path)
    kept = keep(inbox, tmp_path, "a")
    copy = inbox.image(kept)
    assert copy is not None
    assert copy.name == "image.png"
    assert copy.read_bytes() == b"a"
    assert [event["event"] for event in kept.history] == ["kept"]
    assert inbox.records() == [kept]


def test_keeping_again_changes_nothing(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path)
    path, sha256 = image(tmp_path, "a")
    assert inbox.keep(record(sha256), path)
    before = inbox.find(sha256)
    assert not inbox.keep(record(sha256), path)
    assert inbox.find(sha256) == before


def test_a_waiting_record_gains_reasons_and_newer_scores(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path)
    keep(inbox, tmp_path, "a", reasons=("random",))
    merged = keep(inbox, tmp_path, "a", reasons=("drifted",), score=9.0, model_version="v0002")
    assert merged.reasons == ("drifted",)
    assert (merged.score, merged.model_version) == (9.0, "v0002")
    assert [event["event"] for event in merged.history] == ["kept", "seen again"]


def test_a_reviewed_record_stays_as_it_is(tmp_path: Path) -> None:
    import dataclasses

    inbox = make_inbox(tmp_path)
    reviewed = dataclasses.replace(keep(inbox, tmp_path, "a"), status="approved")
    inbox.update(reviewed)
    assert keep(inbox, tmp_path, "a", score=9.0) == reviewed


def test_an_image_that_changed_since_is_not_kept(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path)
    path, sha256 = image(tmp_path, "a")
    path.write_bytes(b"other")
    with pytest.raises(DataError, match="changed since"):
        inbox.keep(record(sha256), path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        inbox.keep(record(sha256), path)
    assert list(inbox.root.iterdir()) == []


def test_ids_are_prefixes(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path)
    kept = [keep(inbox, tmp_path, str(n)) for n in range(40)]
    digits = kept[0].sha256
    assert inbox.find(digits[:16].upper()) == kept[0]
    with pytest.raises(UsageError, match="first 4 or more"):
        inbox.find(digits[:3])
    for trick in ("../..", "*", "", "....", "zzzz"):
        with pytest.raises(UsageError, match="not an id"):
            inbox.find(trick)
    with pytest.raises(UsageError, match="no image"):
        inbox.find("0" * 20)


def test_an_ambiguous_id_is_refused(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path)
    for tail in ("0", "1"):
        (inbox.root / ("abcd" + tail * 60)).mkdir(parents=True)
    with pytest.raises(UsageError, match="fits 2 images"):
        inbox.find("abcd")


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path)
    kept = keep(inbox, tmp_path, "a")
    for text in ("{", '{"version": 1}', '{"version": 99}', "[]"):
        (inbox.root / kept.sha256 / "record.json").write_text(text)
        with pytest.raises(NormscapeError, match=r"record\.json is damaged"):
            inbox.records()


def test_a_full_inbox_drops_the_random_ones_first_and_says_so_of_the_others(
    tmp_path: Path,
) -> None:
    import dataclasses

    days = ("2026-03-14", "2026-03-15", "2026-03-16")
    filled = make_inbox(tmp_path)
    placed = keep(filled, tmp_path, "placed", day=days[2])
    filled.update(dataclasses.replace(placed, status="approved", file="brick/train/good/x.png"))
    alarm = keep(filled, tmp_path, "alarm", day=days[0])
    filled.update(dataclasses.replace(alarm, status="false_alarm"))
    old = keep(filled, tmp_path, "old", day=days[0])
    new = keep(filled, tmp_path, "new", day=days[1])
    keep(filled, tmp_path, "random", day=days[2], reasons=("random",))

    assert make_inbox(tmp_path, limit=5).prune() == Pruned()
    assert make_inbox(tmp_path, limit=4).prune() == Pruned(placed=1)
    assert filled.image(placed) is None
    assert filled.find(placed.sha256).status == "approved"
    assert make_inbox(tmp_path, limit=3).prune() == Pruned(random=1)
    assert Pruned(placed=1, random=1).warning(3) is None
    pruned = make_inbox(tmp_path, limit=1).prune()
    assert pruned == Pruned(remarkable=2)
    assert "the 2 oldest flagged" in str(pruned.warning(1))
    statuses = {r.sha256: r.status for r in filled.records()}
    assert statuses == {placed.sha256: "approved", alarm.sha256: "false_alarm"}
    assert old.sha256 not in statuses
    assert new.sha256 not in statuses


def test_the_oldest_of_a_kind_goes_first(tmp_path: Path) -> None:
    inbox = make_inbox(tmp_path, limit=1)
    keep(inbox, tmp_path, "old", day="2026-03-14")
    new = keep(inbox, tmp_path, "new", day="2026-03-15")
    inbox.prune()
    assert inbox.records() == [new]


def test_the_same_image_kept_by_many_at_once(tmp_path: Path) -> None:
    path, sha256 = image(tmp_path, "a")
    with ThreadPoolExecutor(6) as pool:
        new = list(pool.map(lambda _: make_inbox(tmp_path).keep(record(sha256), path), range(12)))
    assert sum(new) == 1
    assert len(make_inbox(tmp_path).records()) == 1
