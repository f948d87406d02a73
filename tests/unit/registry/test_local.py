"""Crashes, full disks and torn files of the local registry."""

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from normscape.errors import NormscapeError
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION
from normscape.registry.local import LocalRegistry
from normscape.registry.promotion import rollback

from .conftest import small_disk

_fork = multiprocessing.get_context("fork")


def incoming(place: Path) -> list[str]:
    return [path.name for path in (place / "versions").glob(".incoming-*")]


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(b"0" * 4096)


def test_a_published_version_is_read_only(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    folder = registry.get(registry.register(make_bundle(), reason="x"))
    assert folder.stat().st_mode & 0o777 == 0o555
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    assert incoming(place) == []


def test_numbers_keep_their_order_past_9999_and_are_never_given_twice(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    for name in ("v9999", "v10000"):
        (place / "versions" / name).mkdir(parents=True)
        (place / "versions" / name / "file").touch()
    assert registry.versions() == ["v9999", "v10000"]
    assert registry.register(make_bundle(), reason="x") == "v10001"
    folder = registry.get("v10001")
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert registry.register(make_bundle(), reason="x") == "v10002"


def test_kill_9_while_registering_leaves_nothing_half_done(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    big = make_bundle(size=40_000_000)
    start = time.monotonic()
    registry.register(big, reason="how long it takes")
    seconds = time.monotonic() - start
    chance = random.Random(5)
    for _ in range(5):
        process = _fork.Process(target=registry.register, args=(big,), kwargs={"reason": "killed"})
        process.start()
        time.sleep(chance.uniform(0.2, 0.95) * seconds)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for version in registry.versions():
            Bundle.load(registry.get(version))
    known = registry.versions()
    assert registry.register(make_bundle(), reason="after") not in known
    assert incoming(place) == []


def test_a_registration_under_way_is_not_taken_for_abandoned(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    big = make_bundle(size=60_000_000)
    process = _fork.Process(target=registry.register, args=(big,), kwargs={"reason": "slow"})
    process.start()
    while len(incoming(place)) < 2 and process.is_alive():
        time.sleep(0.002)
    registry.register(make_bundle(), reason="quick")
    process.join(timeout=60)
    assert process.exitcode == 0
    assert registry.versions() == ["v0001", "v0002"]
    assert incoming(place) == []


def test_a_torn_last_line_is_reported_and_the_log_goes_on(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    registry.register(make_bundle(), reason="first")
    with (place / "audit.jsonl").open("a") as log:
        log.write('{"action": "regis')
    history = registry.history()
    assert [entry.after for entry in history.entries] == ["v0001"]
    assert history.torn_lines == (2,)
    registry.register(make_bundle(), reason="second")
    history = registry.history()
    assert [entry.after for entry in history.entries] == ["v0001", "v0002"]
    assert history.torn_lines == (2,)


def test_a_move_that_a_crash_kept_from_the_log_is_not_lost(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    first = registry.register(make_bundle(), reason="first")
    second = registry.register(make_bundle(), reason="second")
    log = place / "audit.jsonl"
    before = log.read_bytes()
    state = registry.set_alias(PRODUCTION, first, expected=None, reason="the lost one")
    log.write_bytes(before)
    assert registry.history().entries[-1].reason == "the lost one"
    registry.set_alias(PRODUCTION, second, expected=state, reason="the next")
    reasons = [json.loads(line)["reason"] for line in log.read_text().splitlines()]
    assert reasons == ["first", "second", "the lost one", "the next"]


def test_a_version_that_was_deleted_by_hand_is_named_and_can_be_left(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    state = None
    for number in range(2):
        version = registry.register(make_bundle(), reason=f"number {number}")
        state = registry.set_alias(PRODUCTION, version, expected=state, reason="x")
    (place / "versions" / "v0002").rename(place / "elsewhere")
    with pytest.raises(NormscapeError, match=r"'production' is v0002, but .* is gone"):
        registry.get(PRODUCTION)
    rollback(registry, reason="it is gone")
    assert registry.get(PRODUCTION).name == "v0001"


@pytest.mark.parametrize("line", ["[]", "3", "{}", '{"after": "v0001"}', "\x00", "no json"])
def test_a_line_that_is_no_entry_is_reported(place, make_bundle, line: str) -> None:
    registry = LocalRegistry(place)
    registry.register(make_bundle(), reason="first")
    with (place / "audit.jsonl").open("a") as log:
        log.write(line + "\n")
    assert registry.register(make_bundle(), reason="second") == "v0002"
    history = registry.history()
    assert [entry.reason for entry in history.entries] == ["first", "second"]
    assert history.torn_lines == (2,)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 2}', '{"format": 1, "trail": ["../.."], "after": "v0001"}'],
)
def test_a_damaged_alias_file_is_named(place, make_bundle, content: str) -> None:
    registry = LocalRegistry(place)
    version = registry.register(make_bundle(), reason="first")
    registry.set_alias(PRODUCTION, version, expected=None, reason="x")
    (place / "aliases" / "production.json").write_text(content)
    with pytest.raises(NormscapeError, match=r"production\.json is damaged"):
        registry.alias(PRODUCTION)


def test_an_alias_file_cannot_point_outside(place, make_bundle) -> None:
    registry = LocalRegistry(place)
    version = registry.register(make_bundle(), reason="first")
    registry.set_alias(PRODUCTION, version, expected=None, reason="x")
    path = place / "aliases" / "production.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "after": "../../elsewhere"}))
    with pytest.raises(NormscapeError, match="damaged"):
        registry.get(PRODUCTION)


def test_a_full_disk_leaves_no_half_version(place, make_bundle) -> None:
    small, large = make_bundle(), make_bundle(size=3_000_000)
    with small_disk(place, "1m"):
        registry = LocalRegistry(place)
        registry.register(small, reason="fits")
        with pytest.raises(NormscapeError, match="No space left"):
            registry.register(large, reason="does not fit")
        assert registry.versions() == ["v0001"]
        assert incoming(place) == []
        state = registry.set_alias(PRODUCTION, "v0001", expected=None, reason="still works")
        fill(place / "filler")
        with pytest.raises(NormscapeError, match="No space left"):
            registry.set_alias(PRODUCTION, "v0001", expected=state, reason="no room to say so")
        assert registry.alias_state(PRODUCTION) == state
        assert registry.history().torn_lines == ()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    if not os.access(folder, os.W_OK):
        yield
        return
    with small_disk(folder, "1m", "ro"):  # permissions do not stop root
        yield


def test_a_read_only_folder_is_named(place, make_bundle) -> None:
    bundle = make_bundle()
    with read_only(place):
        registry = LocalRegistry(place)
        with pytest.raises(NormscapeError, match=f"cannot write {place}.*expected a writable"):
            registry.register(bundle, reason="x")
        assert registry.versions() == []
        assert registry.history().entries == ()
