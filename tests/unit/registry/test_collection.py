"""Garbage collection: what goes, what never goes, and what is said of it."""

import threading
import time
from dataclasses import replace

import pytest

from normscape.errors import BusyError, NormscapeError, UsageError
from normscape.files import exclusive_lock
from normscape.registry import base, s3_collection
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION, KeepRule, Registry
from normscape.registry.pins import LEASE, MARK, Names, marked, pinned
from normscape.registry.promotion import promote, rollback
from normscape.registry.s3 import S3Registry, object_name
from normscape.storage.store import ObjectStore

ALL = KeepRule(1, 0.0)


def registered(registry: Registry, make_bundle, count: int) -> list[str]:
    return [registry.register(make_bundle(size=500), reason=f"number {i}") for i in range(count)]


def test_an_empty_registry_has_nothing_to_collect(registry: Registry) -> None:
    found = registry.collect(ALL, reason="x")
    assert (found.versions, found.bytes) == ((), 0)
    assert registry.summaries() == []


def test_what_nothing_needs_goes_and_stays_known(registry: Registry, make_bundle) -> None:
    registered(registry, make_bundle, 4)
    registry.set_alias("candidate", "v0002", expected=None, reason="x")
    before = registry.history().entries
    planned = registry.collect(ALL, reason="room", dry_run=True)
    assert planned.versions == ("v0001", "v0003")
    assert planned.bytes > 1000
    assert registry.versions() == ["v0001", "v0002", "v0003", "v0004"]
    assert registry.history().entries == before
    assert registry.collect(ALL, reason="room") == planned
    assert registry.versions() == ["v0002", "v0004"]
    assert registry.collected_names() == ["v0001", "v0003"]
    for version in ("v0002", "v0004"):
        registry.verify(version)
        Bundle.load(registry.get(version))
    said = {s.version: s.collected for s in registry.summaries()}
    assert list(said) == ["v0001", "v0002", "v0003", "v0004"]
    assert said["v0002"] is None
    assert said["v0001"] is not None
    assert said["v0001"].reason == "room"
    first = registry.summaries(["v0001"])[0]
    assert first.problem is None
    assert first.figures is not None
    assert first.figures["gate"] == "passed"
    for change in (
        registry.get,
        registry.verify,
        lambda name: registry.set_alias("candidate", name, expected=None, reason="x"),
    ):
        with pytest.raises(UsageError, match=r"v0001 was collected on .*room"):
            change("v0001")
    told = [(e.action, e.after) for e in registry.history().entries][-2:]
    assert told == [("collect", "v0001"), ("collect", "v0003")]
    assert registry.collect(ALL, reason="again").versions == ()


def test_a_collected_number_is_never_given_again(registry: Registry, make_bundle) -> None:
    registered(registry, make_bundle, 3)
    registry.collect(ALL, reason="x")
    assert registry.register(make_bundle(size=500), reason="x") == "v0004"
    registry.collect(ALL, reason="x")
    assert registry.versions() == ["v0004"]
    assert registry.register(make_bundle(size=500), reason="x") == "v0005"


def test_every_step_of_a_rollback_is_kept(registry: Registry, make_bundle) -> None:
    versions = registered(registry, make_bundle, 5)
    for version in versions[:4]:
        promote(registry, version, expected=registry.alias_state(PRODUCTION), reason="x")
    rollback(registry, reason="v0004 is bad")
    assert registry.collect(ALL, reason="x").versions == ("v0004",)
    rollback(registry, reason="x")
    rollback(registry, reason="x")
    assert registry.alias(PRODUCTION) == "v0001"
    registry.verify(PRODUCTION)


@pytest.mark.parametrize("rule", [KeepRule(3, 0.0), KeepRule(1, 1.0)])
def test_recent_versions_are_kept(registry: Registry, make_bundle, rule: KeepRule) -> None:
    registered(registry, make_bundle, 3)
    assert registry.collect(rule, reason="x").versions == ()


@pytest.mark.parametrize("rule", [KeepRule(0, 0.0), KeepRule(1, -1.0)])
def test_a_rule_without_sense_is_refused(registry: Registry, make_bundle, rule: KeepRule) -> None:
    registered(registry, make_bundle, 1)
    with pytest.raises(UsageError, match="at least the newest"):
        registry.collect(rule, reason="x")


def test_content_that_is_still_needed_elsewhere_stays(registry: Registry, make_bundle) -> None:
    folder = make_bundle(size=500)
    for _ in range(3):
        registry.register(folder, reason="the same thrice")
    assert registry.collect(ALL, reason="x").versions == ("v0001", "v0002")
    registry.verify("v0003")
    assert registry.register(folder, reason="and again") == "v0004"
    registry.verify("v0004")


@pytest.fixture
def s3(s3_store, place) -> S3Registry:
    return s3_store.open(place)


def test_what_somebody_is_about_to_use_is_spared(s3: S3Registry, make_bundle) -> None:
    registered(s3, make_bundle, 3)
    objects = s3.document("v0002").objects
    with pinned(s3.store, Names(frozenset({"v0001"}), objects)):
        assert s3.collect(ALL, reason="x").versions == ("v0002",)
    s3.verify("v0001")
    for sha in objects:
        assert s3.store.head(object_name(sha)) is not None
    # Nothing holds them now, and no version needs them.
    s3.collect(ALL, reason="x")
    assert s3.versions() == ["v0003"]
    left = {sha for sha in objects if s3.store.head(object_name(sha))}
    assert left == objects & s3.document("v0003").objects


def test_an_alias_waits_for_the_collection_that_is_about_to_take_its_version(
    s3: S3Registry, make_bundle
) -> None:
    registered(s3, make_bundle, 2)
    done: list[float] = []

    def move() -> None:
        s3.set_alias("candidate", "v0001", expected=None, reason="x")
        done.append(time.monotonic())

    mover = threading.Thread(target=move)
    with marked(s3.store, Names(frozenset({"v0001"}))):
        mover.start()
        s3.set_alias("other", "v0002", expected=None, reason="is not condemned, need not wait")
        time.sleep(1)
        assert done == []
    mover.join(timeout=20)
    assert done
    assert s3.alias("candidate") == "v0001"


def test_two_collections_at_once_are_refused(s3: S3Registry, make_bundle) -> None:
    registered(s3, make_bundle, 1)
    with (
        marked(s3.store, Names()),
        pytest.raises(BusyError, match="another garbage collection is under way"),
    ):
        s3.collect(ALL, reason="x")
    assert s3.store.head(MARK) is None


def test_a_collection_that_slept_too_long_removes_nothing_more(
    s3: S3Registry, make_bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(s3, make_bundle, 2)
    clock = time.monotonic
    spare = s3_collection.S3Collector._spare

    def sleep_first(collector, plan):
        found = spare(collector, plan)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + LEASE.total_seconds())
        return found

    monkeypatch.setattr(s3_collection.S3Collector, "_spare", sleep_first)
    with pytest.raises(BusyError, match="stood still"):
        s3.collect(ALL, reason="x")
    monkeypatch.undo()
    assert s3.store.head(MARK) is not None  # by now it may be another collection's
    s3.verify("v0001")


def test_a_registration_that_took_too_long_claims_nothing(
    s3: S3Registry, make_bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = S3Registry._send
    clock = time.monotonic

    def slow(registry, *arguments):
        send(registry, *arguments)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + base.LEFTOVER_AGE.total_seconds())

    monkeypatch.setattr(S3Registry, "_send", slow)
    with pytest.raises(NormscapeError, match="longer than half a day"):
        s3.register(make_bundle(size=500), reason="x")
    assert s3.versions() == []


def test_copies_on_this_machine_go_when_nobody_asks_for_them(
    s3: S3Registry, make_bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(s3, make_bundle, 2)
    folders = [s3.get(version) for version in ("v0001", "v0002")]
    s3.collect(ALL, reason="x")
    assert folders[0].is_dir()  # a scorer may be reading it
    monkeypatch.setattr(s3_collection, "LEFTOVER_AGE", base.LEFTOVER_AGE * 0)
    s3.collect(ALL, reason="x")
    assert not folders[0].exists()
    assert folders[1].is_dir()


def test_files_that_are_no_aliases_do_not_matter(registry: Registry, place, make_bundle) -> None:
    registered(registry, make_bundle, 2)
    registry.set_alias(PRODUCTION, "v0001", expected=None, reason="x")
    names = ("aliases/By hand.json", "aliases/v0001.json", "aliases/notes.txt")
    if isinstance(registry, S3Registry):
        for name in (*names, "aliases/deeper/production.json", "aliases/candidate"):
            registry.store.put(name, b"by hand")
    else:
        for name in names:
            (place / name).write_text("by hand")
    assert registry.aliases() == {PRODUCTION: "v0001"}
    assert registry.collect(ALL, reason="x").versions == ()


def test_one_damaged_document_does_not_hide_the_others(
    registry: Registry, place, make_bundle
) -> None:
    registered(registry, make_bundle, 3)
    assert registry.collect(ALL, reason="x").versions == ("v0001", "v0002")
    if isinstance(registry, S3Registry):
        registry.store.put("collected/v0001.json", b"torn")
        registry.store.put("versions/v0002.json", b"torn")
    else:
        for name in ("collected/v0001.json", "versions/v0002.json"):
            (place / name).write_text("torn")
    problems = {each.version: each.problem for each in registry.summaries()}
    assert "collected/v0001.json is damaged" in str(problems["v0001"])
    assert "versions/v0002.json is damaged" in str(problems["v0002"])
    assert problems["v0003"] is None


def test_objects_that_are_no_documents_do_not_stop_a_collection(
    s3: S3Registry, make_bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(s3, make_bundle, 2)
    sha256 = sorted(s3.document("v0002").objects)[0]
    strays = ("versions/readme.json", "versions/v0009", "versions/deeper/v0003.json",
              "objects/sha256/readme.txt", f"objects/sha256/{sha256}")  # fmt: skip
    for name in strays:
        s3.store.put(name, b"by hand")
    monkeypatch.setattr(s3_collection, "LEFTOVER_AGE", base.LEFTOVER_AGE * 0)
    time.sleep(1.1)  # stores tell the time in seconds
    assert s3.collect(ALL, reason="x").versions == ("v0001",)
    s3.verify("v0002")
    assert all(s3.store.head(name) for name in strays)


def test_a_mark_that_is_replaced_while_it_is_read_is_not_taken_for_an_old_one(
    s3: S3Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.store.put(MARK, Names(frozenset({"v0001"})).encode())
    head, replaced = ObjectStore.head, []

    def old(store: ObjectStore, name: str):
        found = head(store, name)
        if name == MARK and not replaced:
            replaced.append(store.put(MARK, Names(frozenset({"v0002"})).encode()))
            return replace(found, modified=found.modified - 2 * LEASE)
        return found

    monkeypatch.setattr(ObjectStore, "head", old)
    with pytest.raises(BusyError, match="another garbage collection"), marked(s3.store, Names()):
        pass
    assert replaced


def test_what_a_killed_download_has_left_goes_unless_another_goes_on_with_it(
    s3: S3Registry, place, make_bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(s3, make_bundle, 2)
    left = [place / "cache" / f".incoming-{digit * 32}" for digit in "ab"]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"half")
    s3.collect(ALL, reason="x")
    assert all(folder.is_dir() for folder in left)
    monkeypatch.setattr(s3_collection, "LEFTOVER_AGE", base.LEFTOVER_AGE * 0)
    with exclusive_lock(place / "cache" / f".{'b' * 32}.lock", "a download"):
        s3.collect(ALL, reason="x")
    assert [folder.is_dir() for folder in left] == [False, True]
