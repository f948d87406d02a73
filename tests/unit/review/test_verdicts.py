import dataclasses
import hashlib
from pathlib import Path

import pytest

from normscape.data.split import group_of
from normscape.errors import DataError, UsageError
from normscape.params import Params
from normscape.review.placing import DataFolder
from normscape.review.verdicts import Verdict, judge
from normscape.scoring.inbox import Inbox
from normscape.scoring.record import Record
from normscape.sections.data import ManifestParams
from normscape.sections.production import ReviewParams

from .conftest import PATTERN, Keep

APPROVED = Verdict("approved")


def files(params: Params) -> list[str]:
    return sorted(
        path.relative_to(params.data).as_posix()
        for path in params.data.rglob("*")
        if path.is_file() and not path.name.startswith("brick-r")
    )


def now(params: Params, record: Record) -> Record:
    return Inbox.of(params).find(record.sha256)


def test_an_approved_image_becomes_data(params: Params, keep: Keep) -> None:
    record = keep()
    outcome = judge(params, [record], APPROVED)[0]
    assert outcome.changed
    assert outcome.record.file == f"grass/train/good/grass-r7-01-{record.sha256[:8]}.png"
    assert (params.data / outcome.record.file).read_bytes() == b"grass-r7-01.png"
    stored = now(params, record)
    assert (stored.status, stored.category, stored.file) == (
        "approved", "grass", outcome.record.file,
    )  # fmt: skip
    assert [event["event"] for event in stored.history] == ["kept", "approved"]


def test_nothing_waits_its_way_into_the_data(params: Params, keep: Keep) -> None:
    keep("a.png")
    judge(params, [keep("b.png")], APPROVED)
    assert len(files(params)) == 1


def test_the_new_name_keeps_its_group(params: Params, keep: Keep) -> None:
    record = keep("solar_mono-r12-0007.png")
    file = judge(params, [record], APPROVED)[0].record.file
    assert file is not None
    assert group_of(file, "", PATTERN, None) == "solar_mono-r12"


def test_the_same_verdict_twice_is_one(params: Params, keep: Keep) -> None:
    record = keep()
    first = judge(params, [record], APPROVED)[0]
    second = judge(params, [record], APPROVED)[0]
    assert not second.changed
    assert second.record == first.record


def test_a_contradiction_needs_change_and_moves_the_file(params: Params, keep: Keep) -> None:
    record = keep()
    judge(params, [record], APPROVED)
    stain = Verdict("rejected", None, "stain")
    with pytest.raises(UsageError, match=r"was approved, category grass already; pass --change"):
        judge(params, [record], stain)
    assert files(params)[0].startswith("grass/train/good/")
    judge(params, [record], stain, change=True)
    assert files(params) == [f"grass/test/stain/grass-r7-01-{record.sha256[:8]}.png"]
    judge(params, [record], Verdict("false_alarm"), change=True)
    assert files(params) == []
    assert now(params, record).file is None
    assert now(params, record).category == "grass"


def test_a_dropped_copy_comes_back_from_the_data(params: Params, keep: Keep) -> None:
    record = keep()
    judge(params, [record], APPROVED)
    copy = Inbox.of(params).image(record)
    assert copy is not None
    copy.unlink()
    judge(params, [record], Verdict("false_alarm"), change=True)
    assert copy.read_bytes() == b"grass-r7-01.png"
    assert files(params) == []


def test_a_false_alarm_may_be_approved_later(params: Params, keep: Keep) -> None:
    record = keep()
    judge(params, [record], Verdict("false_alarm"))
    assert files(params) == []
    judge(params, [record], APPROVED)
    assert len(files(params)) == 1


def test_verdicts_must_fit_the_image(params: Params, keep: Keep) -> None:
    quiet = keep("quiet.png", reasons=("random",))
    with pytest.raises(UsageError, match="not flagged, so it is no false alarm"):
        judge(params, [quiet], Verdict("false_alarm"))
    with pytest.raises(UsageError, match="was not missed"):
        judge(params, [keep()], Verdict("missed_defect", None, "scratch"))
    judge(params, [quiet], Verdict("missed_defect", None, "scratch"))
    assert files(params) == [f"grass/test/scratch/quiet-{quiet.sha256[:8]}.png"]


def test_nothing_is_done_unless_all_can_be_done(params: Params, keep: Keep) -> None:
    good, undeclared = keep("a.png"), keep("b.png", declared=None)
    with pytest.raises(UsageError, match=r"no declared category; name it with --category"):
        judge(params, [good, undeclared], APPROVED)
    assert files(params) == []
    assert now(params, good).status == "waiting"
    judge(params, [good, undeclared], Verdict("approved", "grass"))
    assert len(files(params)) == 2


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "../x", "a/b", "/etc", ".hidden", "-x", "a..b", "a\\b", "a\0b", "a\nb", "good",
     "train", "test", "ground_truth", "x" * 65, "a ", "a:b"],
)  # fmt: skip
def test_names_cannot_leave_the_layout(params: Params, keep: Keep, name: str) -> None:
    record = keep()
    for verdict in (Verdict("approved", name or "/"), Verdict("rejected", "grass", name)):
        with pytest.raises(UsageError, match="cannot be a"):
            judge(params, [record], verdict)
    assert files(params) == []


@pytest.mark.parametrize("name", ["metal_nut", "Schraube-8.8", "零件", "7up"])
def test_ordinary_names_are_accepted(params: Params, keep: Keep, name: str) -> None:
    judge(params, [keep()], Verdict("rejected", name, name))
    assert (params.data / name / "test" / name).is_dir()


def test_an_existing_category_may_have_any_name(params: Params, keep: Keep) -> None:
    (params.data / "metal nut" / "train" / "good").mkdir(parents=True)
    judge(params, [keep()], Verdict("approved", "metal nut"))
    assert files(params)[0].startswith("metal nut/train/good/")


def test_a_share_of_the_groups_becomes_test_data(params: Params, keep: Keep) -> None:
    shared = params.model_copy(update={"review": ReviewParams(test_percent=40)})
    records = [keep(f"grass-r{n // 2}-{n}.png") for n in range(80)]
    outcomes = judge(shared, records, APPROVED)
    sides = [str(o.record.file).split("/")[1] for o in outcomes]
    assert sides[0::2] == sides[1::2]
    assert 8 <= sides.count("test") // 2 <= 24


def test_a_group_follows_its_images_that_are_data_already(params: Params, keep: Keep) -> None:
    shared = params.model_copy(update={"review": ReviewParams(test_percent=90)})
    records = [keep(f"brick-r{n}-77.png", declared="brick") for n in range(3)]
    outcomes = judge(shared, records, APPROVED)
    assert {str(o.record.file).split("/")[1] for o in outcomes} == {"train"}


def test_an_image_that_is_in_the_data_is_not_added_again(params: Params, keep: Keep) -> None:
    record = keep("new.png", content=b"train 1", declared="brick")
    outcome = judge(params, [record], APPROVED)[0]
    assert outcome.record.file == "brick/train/good/brick-r1-00.png"
    assert outcome.note == "already in the data as brick/train/good/brick-r1-00.png"
    assert files(params) == []


@pytest.mark.parametrize(
    "verdict", [Verdict("rejected", "brick", "crack"), Verdict("approved", "grass")]
)
def test_data_of_another_meaning_is_not_contradicted(
    params: Params, keep: Keep, verdict: Verdict
) -> None:
    record = keep("new.png", content=b"train 1")
    with pytest.raises(DataError, match=r"brick-r1-00\.png, which contradicts"):
        judge(params, [record], verdict)


def test_an_interrupted_verdict_is_healed_by_giving_it_again(params: Params, keep: Keep) -> None:
    record = keep()
    target = params.data / DataFolder(params).normal_path(record, "grass")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"grass-r7-01.png")
    assert judge(params, [record], APPROVED)[0].changed
    assert now(params, record).status == "approved"


def test_another_image_is_never_overwritten(params: Params, keep: Keep) -> None:
    record = keep()
    target = params.data / DataFolder(params).normal_path(record, "grass")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"something else")
    with pytest.raises(DataError, match="is another image"):
        judge(params, [record], APPROVED)
    assert target.read_bytes() == b"something else"
    assert now(params, record).status == "waiting"


def test_a_mask_that_stays_behind_is_named(params: Params, keep: Keep) -> None:
    record = keep()
    judge(params, [record], Verdict("rejected", None, "stain"))
    mask = params.data / f"grass/ground_truth/stain/grass-r7-01-{record.sha256[:8]}_mask.png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"mask")
    note = judge(params, [record], APPROVED, change=True)[0].note
    assert note is not None
    assert "_mask.png stays" in note


def test_a_defect_of_a_category_with_masks_asks_for_one(params: Params, keep: Keep) -> None:
    mask = params.data / "grass/ground_truth/stain/000_mask.png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"mask")
    record = keep()
    note = judge(params, [record], Verdict("rejected", None, "cut"))[0].note
    assert f"grass/ground_truth/cut/grass-r7-01-{record.sha256[:8]}_mask.png" in str(note)


def test_a_first_image_makes_the_data_folder(params: Params, keep: Keep) -> None:
    import shutil

    shutil.rmtree(params.data)
    judge(params, [keep()], APPROVED)
    assert len(files(params)) == 1


@pytest.mark.parametrize("layout", ["visa", "realiad", "folder"])
def test_other_layouts_are_refused(params: Params, keep: Keep, layout: str) -> None:
    other = params.model_copy(
        update={"manifest": ManifestParams.model_validate({"layout": layout})}
    )
    with pytest.raises(UsageError, match=f"has the layout '{layout}'"):
        judge(other, [keep()], APPROVED)


def test_a_found_layout_is_refused_too(params: Params, keep: Keep) -> None:
    (params.data / "split_csv").mkdir()
    (params.data / "split_csv" / "1cls.csv").write_text("object,split,label,image,mask\n")
    with pytest.raises(UsageError, match="has the layout 'visa'"):
        judge(params, [keep()], APPROVED)


def test_sources_with_tricky_names_stay_inside(params: Params, keep: Keep, tmp_path: Path) -> None:
    record = keep()
    for source in ("/etc/pass.wd.png", "feed/..png", "feed/" + "ü" * 300 + ".png"):
        name = DataFolder(params).normal_path(dataclasses.replace(record, source=source), "grass")
        assert name.startswith("grass/train/good/")
        assert name.count("/") == 3
        assert len(name.split("/")[3].encode()) <= 255


def test_a_read_only_data_folder_is_named(params: Params, keep: Keep) -> None:
    blocked = params.data / "grass"
    blocked.write_text("a file where a folder should be")
    record = keep()
    with pytest.raises(Exception, match="grass") as caught:
        judge(params, [record], APPROVED)
    assert caught.type.__name__ in ("NormscapeError", "DataError", "UsageError")
    assert now(params, record).status == "waiting"


def test_the_sha_in_the_name_is_the_images(params: Params, keep: Keep) -> None:
    record = keep()
    file = judge(params, [record], APPROVED)[0].record.file
    assert file is not None
    digest = hashlib.sha256((params.data / file).read_bytes()).hexdigest()
    assert file.rsplit("-", 1)[1].startswith(digest[:8])
