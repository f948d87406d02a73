"""What a person says of an image, and what follows: a place in the data folder, and a history."""

from __future__ import annotations

import dataclasses
import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from normscape.data.layouts import GOOD
from normscape.errors import DataError, NormscapeError, UsageError
from normscape.files import atomic_path, sha256_file, unwritable
from normscape.params import Params
from normscape.review.placing import DataFolder
from normscape.scoring.inbox import Inbox, copy_verified
from normscape.scoring.record import Record, Status


@dataclass(frozen=True)
class Verdict:
    """One of the four things a person can say.

    Attributes:
        status: approved (normal, becomes data), rejected (a defect, becomes labelled test data),
            false_alarm (normal although flagged, helps to recalibrate), missed_defect (a defect
            although not flagged, becomes labelled test data).
        category: The product; the declared category of each image when None.
        defect_type: The kind of defect, for rejected and missed_defect.
    """

    status: Status
    category: str | None = None
    defect_type: str | None = None

    @property
    def normal(self) -> bool:
        """Whether the image shows a good part."""
        return self.status in ("approved", "false_alarm")


@dataclass(frozen=True)
class Outcome:
    """What a verdict did to one image.

    Attributes:
        record: The record afterwards.
        changed: False when the same verdict had been given before.
        note: What a person should know, or None.
    """

    record: Record
    changed: bool
    note: str | None = None


@dataclass(frozen=True)
class _Step:
    """A verdict on one record, checked and ready to be carried out."""

    before: Record
    after: Record
    note: str | None = None

    @property
    def changed(self) -> bool:
        return self.after is not self.before


def judge(
    params: Params, records: Sequence[Record], verdict: Verdict, *, change: bool = False
) -> list[Outcome]:
    """Give one verdict on several images; everything is checked before anything is changed.

    Each image is put into the data folder before its record says so: an interruption between the
    two is healed by giving the verdict again. The same verdict given twice does nothing.

    Args:
        params: The project.
        records: The images.
        verdict: What is said of each of them.
        change: Replace an earlier verdict of another kind; moves the file.

    Raises:
        UsageError: A name is not possible, the category is not known, the verdict does not fit
            the image or contradicts an earlier one, or the data folder has another layout.
        DataError: The image's file is gone, changed, or in the data with another meaning.
        NormscapeError: Something cannot be written.
    """
    inbox, data = Inbox.of(params), DataFolder(params)
    if verdict.defect_type is not None:
        data.check_defect_type(verdict.defect_type)
    with inbox.locked():
        steps = [
            _plan(inbox, data, inbox.get(record.sha256) or record, verdict, change)
            for record in records
        ]
        return [
            Outcome(_carry_out(inbox, data, step), True, step.note)
            if step.changed
            else Outcome(step.before, False)
            for step in steps
        ]


def _plan(inbox: Inbox, data: DataFolder, record: Record, verdict: Verdict, change: bool) -> _Step:
    category = _category(record, verdict)
    data.check_category(category)
    if _same(record, verdict, category):
        return _Step(record, record)
    _check_fits(record, verdict)
    refines = record.status == "false_alarm" and verdict.status == "approved"
    agrees = refines and record.category == category
    if record.status != "waiting" and not agrees and not change:
        raise UsageError(
            f"{record.sha256[:12]} was {_describe(record)} already; pass --change to replace "
            f"that verdict by {verdict.status.replace('_', ' ')}"
        )
    after = dataclasses.replace(
        record,
        status=verdict.status,
        category=category,
        defect_type=verdict.defect_type,
        file=_target(data, record, verdict, category),
    )
    found = [
        path
        for path in data.copies(record.sha256, _holder(inbox, data, record).stat().st_size)
        if path not in (record.file, after.file)
    ]
    for path in found:
        _accept(path, verdict, category, record)
    if found and after.file is not None:
        after = dataclasses.replace(after, file=found[0])
        return _Step(record, after, f"already in the data as {found[0]}")
    return _Step(record, after, _mask_note(data, record, after))


def _mask_note(data: DataFolder, before: Record, after: Record) -> str | None:
    left = data.mask_of(before.file) if before.file and before.defect_type else None
    if left is not None:
        return f"its mask {left} stays; move or remove it"
    if after.file and after.defect_type and data.has_masks(str(after.category)):
        return (
            f"{after.category} has masks, so draw one for this defect before training: "
            f"{data.mask_path(after.file)}"
        )
    return None


def _category(record: Record, verdict: Verdict) -> str:
    category = verdict.category or record.category or record.declared
    if category is None:
        raise UsageError(
            f"{record.sha256[:12]} has no declared category; name it with --category "
            f"(the model took it for '{record.predicted}')"
        )
    return category


def _same(record: Record, verdict: Verdict, category: str) -> bool:
    return (record.status, record.category, record.defect_type) == (
        verdict.status,
        category,
        verdict.defect_type,
    )


def _check_fits(record: Record, verdict: Verdict) -> None:
    flagged = "flagged" in record.reasons
    if verdict.status == "false_alarm" and not flagged:
        raise UsageError(
            f"{record.sha256[:12]} was not flagged, so it is no false alarm; approve it instead"
        )
    if verdict.status == "missed_defect" and flagged:
        raise UsageError(
            f"{record.sha256[:12]} was flagged, so its defect was not missed; reject it instead"
        )


def _describe(record: Record) -> str:
    parts = [record.status.replace("_", " "), f"category {record.category}"]
    if record.defect_type:
        parts.append(f"defect type {record.defect_type}")
    return ", ".join(parts)


def _target(data: DataFolder, record: Record, verdict: Verdict, category: str) -> str | None:
    if verdict.status == "approved":
        return data.normal_path(record, category)
    if verdict.defect_type is not None:
        return data.defect_path(record, category, verdict.defect_type)
    return None


def _holder(inbox: Inbox, data: DataFolder, record: Record) -> Path:
    """A file that holds the image: the inbox's copy, else the one in the data folder."""
    image = inbox.image(record)
    if image is not None:
        return image
    placed = data.root / record.file if record.file else None
    if placed is not None and placed.is_file():
        return placed
    raise DataError(
        f"{record.sha256[:12]}: its image is neither in the inbox nor at {placed}; restore the "
        "data folder (`dvc checkout`) and give the verdict again"
    )


def _accept(found: str, verdict: Verdict, category: str, record: Record) -> None:
    """Refuse a verdict that a copy in the data folder contradicts."""
    parts = PurePosixPath(found).parts
    kind = GOOD if verdict.normal else verdict.defect_type
    if parts[0] != category or parts[-2] != kind:
        raise DataError(
            f"{record.sha256[:12]} is in the data already, as {found}, which contradicts "
            f"{verdict.status.replace('_', ' ')} as {category}; remove that file or correct the "
            "verdict"
        )


def _carry_out(inbox: Inbox, data: DataFolder, step: _Step) -> Record:
    before, after = step.before, step.after
    held = _holder(inbox, data, before)
    old = data.root / before.file if before.file else None
    if after.file is not None:
        _put(held, data.root / after.file, old, after.sha256)
    elif held == old:
        _put(held, inbox.root / after.sha256 / f"image{held.suffix}", None, after.sha256)
    if after.file is None and old is not None:
        _unlink(old)
    judged = after.event(
        after.status,
        by=_user(),
        category=after.category,
        defect_type=after.defect_type,
        file=after.file,
    )
    inbox.update(judged)
    return judged


def _put(held: Path, target: Path, old: Path | None, sha256: str) -> None:
    if target.is_file():
        if sha256_file(target) != sha256:
            raise DataError(f"{target} exists and is another image; rename or remove it")
        return
    if old is not None and old.is_file():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            old.rename(target)
        except OSError as error:
            raise unwritable(target, error) from error
        return
    with atomic_path(target) as temporary:
        copy_verified(held, temporary, sha256)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise NormscapeError(
            f"cannot remove {path}: {error.strerror}; remove it yourself"
        ) from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return "unknown"
