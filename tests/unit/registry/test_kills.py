"""kill -9 at ten points of what changes a registry: nothing lost, no half version visible."""

import time

import pytest

from normscape.registry import base, pins, s3_collection
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION, KeepRule, Registry
from normscape.registry.s3 import S3Registry

from .conftest import Store
from .racing import killed_at, steps_of

POINTS = 10

pytestmark = pytest.mark.slow


def ten_points(steps: int) -> list[int]:
    """Ten steps from the first to the last, evenly."""
    assert steps >= POINTS
    return sorted({1 + round(i * (steps - 1) / (POINTS - 1)) for i in range(POINTS)})


def check(store: Store, place, contents: set[str]) -> Registry:
    """Whatever is visible is whole, and the log tells of all of it."""
    registry = store.open(place)
    for version in registry.versions()[-3:]:  # what may have changed since the last time
        registry.verify(version)
        assert Bundle.load(registry.get(version)).content_id in contents
    history = registry.history()
    registered = [e.after for e in history.entries if e.action == "register"]
    known = [*registry.versions(), *registry.collected_names()]
    assert sorted(registered) == sorted(known)
    assert history.torn_lines == ()
    return registry


def test_killed_while_registering(real_store: Store, place, make_bundle) -> None:
    registry = real_store.open(place)
    contents = set()

    def new_bundle():
        folder = make_bundle(size=500)
        contents.add(Bundle.load(folder).content_id)
        return folder

    def register(folder) -> None:
        real_store.open(place).register(folder, reason="killed")

    registry.register(new_bundle(), reason="the first")
    counted = new_bundle()
    for step in ten_points(steps_of(lambda: register(counted), str(place))):
        folder = new_bundle()
        assert killed_at(step, lambda folder=folder: register(folder), str(place))
        check(real_store, place, contents)
        known = registry.versions()
        version = registry.register(folder, reason="after")
        assert version not in known
        assert registry.versions() == [*known, version]
    for version in registry.versions():
        registry.verify(version)


def test_killed_while_moving_production(real_store: Store, place, make_bundle) -> None:
    registry = real_store.open(place)
    folders = [make_bundle(size=500) for _ in range(2)]
    contents = {Bundle.load(folder).content_id for folder in folders}
    first, second = (registry.register(folder, reason="x") for folder in folders)
    state = registry.set_alias(PRODUCTION, first, expected=None, reason="first")

    def move(to: str, expected) -> None:
        real_store.open(place).set_alias(PRODUCTION, to, expected=expected, reason=f"to {to}")

    expected = state
    steps = steps_of(lambda: move(second, expected), str(place))
    state = registry.alias_state(PRODUCTION)
    for step in ten_points(steps):
        before = registry.alias_state(PRODUCTION)
        assert before is not None
        to = first if before.version == second else second
        assert killed_at(step, lambda to=to, before=before: move(to, before), str(place))
        check(real_store, place, contents)
        after = registry.alias_state(PRODUCTION)
        assert after in (before, before.forward(to))
        moves = [e for e in registry.history().entries if e.alias == PRODUCTION]
        assert [e.generation for e in moves] == list(range(1, after.generation + 1))
        assert moves[-1].after == after.version
        move(first, after)  # the next one is not in the way of what is left
    assert registry.history().torn_lines == ()


def test_killed_while_collecting(real_store: Store, place, make_bundle) -> None:
    registry = real_store.open(place)
    folders = [make_bundle(size=500) for _ in range(3)]
    contents = {Bundle.load(folder).content_id for folder in folders}
    for folder in folders:
        registry.register(folder, reason="x")
    registry.set_alias(PRODUCTION, "v0001", expected=None, reason="x")
    rule = KeepRule(1, 0.0)

    def work() -> None:
        real_store.open(place).collect(rule, reason="killed")

    plan = registry.collect(rule, reason="x", dry_run=True)
    assert plan.versions == ("v0002",)
    step, stride = 1, 9 if isinstance(registry, S3Registry) else 1
    while True:
        died = killed_at(step, work, str(place))
        found = check(real_store, place, contents)
        assert found.alias(PRODUCTION) == "v0001"
        assert {"v0001", "v0003"} <= set(found.versions())
        if not died:
            break
        step += stride
        if isinstance(found, S3Registry):  # its mark counts for minutes; as if they had passed
            found.store.remove([pins.MARK])
    registry.collect(rule, reason="the rest")
    assert registry.collected_names() == ["v0002"]
    assert registry.collect(rule, reason="again", dry_run=True).versions == ()
    assert [e.after for e in registry.history().entries if e.action == "collect"] == ["v0002"]
    assert registry.register(folders[1], reason="its content is welcome again") == "v0004"
    registry.verify("v0004")


def test_what_a_killed_registration_has_sent_is_collected_when_it_is_old(
    s3_store: Store, place, make_bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = s3_store.open(place)
    registry.register(make_bundle(size=500), reason="x")
    folder = make_bundle(size=500)

    def work() -> None:
        s3_store.open(place).register(folder, reason="killed")

    assert killed_at(30, work, str(place))
    rule = KeepRule(1, 0.0)
    assert registry.collect(rule, reason="too early").leftovers == ()
    for module in (pins, s3_collection):
        monkeypatch.setattr(module, "LEFTOVER_AGE", base.LEFTOVER_AGE * 0)
    time.sleep(1.1)  # stores tell the time in seconds
    left = registry.collect(rule, reason="x", dry_run=True).leftovers
    assert any(name.startswith("objects/") for name in left)
    assert any(name.startswith("pins/") for name in left)
    assert registry.collect(rule, reason="x").leftovers == left
    assert registry.collect(rule, reason="x").leftovers == ()
    registry.verify("v0001")
