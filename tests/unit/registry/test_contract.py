"""What every registry promises; runs over all stores."""

from pathlib import Path
from typing import Any

import pytest

from normscape.errors import GateError, UsageError
from normscape.registry.bundle import Bundle, BundleError
from normscape.registry.contract import PREVIOUS, PRODUCTION, Registry, StaleAliasError
from normscape.registry.promotion import promote, rollback

from .racing import race

RACERS = 8


def registered(registry: Registry, make_bundle: Any, count: int) -> list[str]:
    return [registry.register(make_bundle(), reason=f"number {i}") for i in range(count)]


def test_an_empty_registry_answers(registry: Registry) -> None:
    assert registry.versions() == []
    assert registry.aliases() == {}
    assert registry.alias(PRODUCTION) is None
    assert registry.alias_state(PRODUCTION) is None
    assert registry.history().entries == ()
    with pytest.raises(UsageError, match="nothing yet"):
        registry.get(PRODUCTION)


def test_versions_count_up_and_hold_what_was_registered(registry, make_bundle) -> None:
    first, second = make_bundle(), make_bundle()
    assert registry.register(first, reason="first") == "v0001"
    assert registry.register(second, reason="second") == "v0002"
    assert registry.versions() == ["v0001", "v0002"]
    for folder, version in ((first, "v0001"), (second, "v0002")):
        assert Bundle.load(registry.get(version)).content_id == Bundle.load(folder).content_id


def test_a_version_outlives_its_source(registry, make_bundle) -> None:
    folder = make_bundle()
    version = registry.register(folder, reason="first")
    content = Bundle.load(folder).content_id
    (folder / "model.safetensors").write_bytes(b"changed later")
    assert Bundle.load(registry.get(version)).content_id == content


def test_a_damaged_bundle_is_not_registered(registry, make_bundle) -> None:
    folder = make_bundle()
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(BundleError, match=r"metrics\.json is damaged"):
        registry.register(folder, reason="broken")
    assert registry.versions() == []


def test_aliases_move_by_compare_and_swap(registry, make_bundle) -> None:
    first, second = registered(registry, make_bundle, 2)
    start = registry.set_alias("candidate", first, expected=None, reason="try it")
    assert (start.version, start.generation) == (first, 1)
    moved = registry.set_alias("candidate", second, expected=start, reason="newer")
    assert registry.alias("candidate") == second
    assert registry.alias_state("candidate") == moved
    for stale in (None, start):
        with pytest.raises(StaleAliasError, match="moved by somebody else"):
            registry.set_alias("candidate", first, expected=stale, reason="too late")
    assert registry.alias_state("candidate") == moved


def test_a_state_that_comes_back_to_the_same_version_is_still_stale(registry, make_bundle) -> None:
    first, second = registered(registry, make_bundle, 2)
    seen = registry.set_alias("candidate", first, expected=None, reason="a")
    state = registry.set_alias("candidate", second, expected=seen, reason="b")
    registry.set_alias("candidate", first, expected=state, reason="a again")
    with pytest.raises(StaleAliasError):
        registry.set_alias("candidate", second, expected=seen, reason="decided on the first a")


def test_an_alias_never_points_at_a_damaged_or_unknown_version(
    registry, store, place, make_bundle
) -> None:
    first, second = registered(registry, make_bundle, 2)
    state = registry.set_alias(PRODUCTION, first, expected=None, reason="good")
    damaged = store.damage(place, second)
    with pytest.raises(BundleError, match=damaged):
        registry.set_alias(PRODUCTION, second, expected=state, reason="flipped byte")
    with pytest.raises(UsageError, match="v0007"):
        registry.set_alias(PRODUCTION, "v0007", expected=state, reason="no such version")
    assert registry.alias_state(PRODUCTION) == state


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "Production", "v0001", "v1", "a b", "a\n", "a.json",
     "x" * 64, "-a", "a\0", "previous"],
)  # fmt: skip
def test_alias_names_cannot_leave_their_place(registry, make_bundle, place, name: str) -> None:
    (version,) = registered(registry, make_bundle, 1)
    with pytest.raises(UsageError):
        registry.set_alias(name, version, expected=None, reason="hostile")
    assert registry.aliases() == {}
    assert not (place.parent / "x.json").exists()


@pytest.mark.parametrize("name", ["../versions/v0001", "v1", "v0001/..", "v0001\n", "V0001", "*"])
def test_version_names_are_checked(registry, make_bundle, name: str) -> None:
    registered(registry, make_bundle, 1)
    with pytest.raises(UsageError):
        registry.set_alias("candidate", name, expected=None, reason="hostile")
    with pytest.raises(UsageError):
        registry.get(name)


def test_a_change_needs_a_reason(registry, make_bundle) -> None:
    with pytest.raises(UsageError, match="reason"):
        registry.register(make_bundle(), reason="  ")
    (version,) = registered(registry, make_bundle, 1)
    with pytest.raises(UsageError, match="reason"):
        registry.set_alias("candidate", version, expected=None, reason="")


def test_previous_follows_production_and_rollback_follows_the_trail(registry, make_bundle) -> None:
    versions = registered(registry, make_bundle, 3)
    for version in versions:
        state = registry.alias_state(PRODUCTION)
        promote(registry, version, expected=state, reason=f"to {version}")
    assert registry.aliases() == {PRODUCTION: "v0003", PREVIOUS: "v0002"}
    assert registry.get(PREVIOUS) == registry.get("v0002")
    rollback(registry, reason="too many false alarms")
    assert registry.aliases() == {PRODUCTION: "v0002", PREVIOUS: "v0001"}
    # A second person who rolls back at the same moment must not reinstate the bad version.
    rollback(registry, reason="me too")
    assert registry.aliases() == {PRODUCTION: "v0001"}
    with pytest.raises(UsageError, match="no predecessor"):
        rollback(registry, reason="further")


def test_rollback_without_production_says_so(registry) -> None:
    with pytest.raises(UsageError, match="nothing is in production"):
        rollback(registry, reason="panic")


def test_promote_refuses_what_the_gate_or_the_checkout_speaks_against(
    registry, make_bundle
) -> None:
    failed = registry.register(make_bundle(passed=False), reason="weak")
    dirty = registry.register(make_bundle(dirty=True), reason="untraceable")
    for allow_dirty in (False, True):
        with pytest.raises(GateError, match=r"mean image AUROC is 0\.5000.*missed by 0\.2000"):
            promote(registry, failed, expected=None, reason="x", allow_dirty=allow_dirty)
    with pytest.raises(GateError, match=r"src/x\.py.*--allow-dirty"):
        promote(registry, dirty, expected=None, reason="x")
    assert registry.aliases() == {}
    promote(registry, dirty, expected=None, reason="a demonstration", allow_dirty=True)
    assert registry.alias(PRODUCTION) == dirty


def test_promoting_what_is_in_production_changes_nothing(registry, make_bundle) -> None:
    (version,) = registered(registry, make_bundle, 1)
    state = promote(registry, version, expected=None, reason="first")
    assert promote(registry, version, expected=state, reason="again") == state
    assert registry.alias(PREVIOUS) is None


def test_the_history_says_who_when_what_and_why(registry, make_bundle) -> None:
    first, second = registered(registry, make_bundle, 2)
    state = registry.set_alias(PRODUCTION, first, expected=None, reason="the first one")
    registry.set_alias(PRODUCTION, second, expected=state, reason="better\non bolts")
    rollback(registry, reason="false alarms")
    history = registry.history()
    assert history.torn_lines == ()
    told = [(entry.action, entry.alias, entry.before, entry.after) for entry in history.entries]
    assert told == [
        ("register", None, None, "v0001"),
        ("register", None, None, "v0002"),
        ("set", PRODUCTION, None, "v0001"),
        ("set", PRODUCTION, "v0001", "v0002"),
        ("rollback", PRODUCTION, "v0002", "v0001"),
    ]
    assert history.entries[3].reason == "better\non bolts"
    assert all("@" in entry.who and entry.when.endswith("+00:00") for entry in history.entries)


def test_racing_writers_each_get_a_version_of_their_own(store, place, make_bundle) -> None:
    folders, unused = [make_bundle() for _ in range(RACERS)], store.open(place)
    versions = race(lambda i: unused.register(folders[i], reason=f"racer {i}"), RACERS)
    registry = store.open(place)
    assert sorted(versions) == registry.versions() == [f"v{i:04d}" for i in range(1, RACERS + 1)]
    for folder, version in zip(folders, versions, strict=True):
        assert Bundle.load(registry.get(version)).files == Bundle.load(folder).files
    assert {entry.after for entry in registry.history().entries} == set(versions)


def test_what_get_returns_is_a_readable_folder(registry, make_bundle) -> None:
    (version,) = registered(registry, make_bundle, 1)
    folder = registry.get(version)
    assert isinstance(folder, Path)
    assert Bundle.load(folder).categories == ("bolt", "nut")
