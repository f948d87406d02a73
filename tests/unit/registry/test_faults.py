"""A store that fails in the middle of things: nothing lost, no half version, and a retry works."""

from pathlib import Path

import pytest

from normscape.errors import NormscapeError
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION, KeepRule
from normscape.registry.promotion import rollback
from normscape.registry.s3 import S3Registry
from normscape.storage.client import StoreError, connect
from normscape.storage.store import ObjectStore
from tests.faults import KINDS, Fault, Proxy, faulty_proxy

from .conftest import STORES, s3_location
from .racing import fork
from .test_local import read_only

FOREVER = 10_000

pytestmark = pytest.mark.slow


@pytest.fixture
def sound(seaweedfs_environment, use_s3, place):
    """The registry on a store that works."""
    use_s3(seaweedfs_environment)
    return STORES["seaweedfs"].open(place)


@pytest.fixture
def faulty(sound, seaweedfs_environment, place, monkeypatch: pytest.MonkeyPatch):
    """The same registry, asked through a proxy."""
    with faulty_proxy(seaweedfs_environment["AWS_ENDPOINT_URL"], hang_seconds=0.8) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        client = connect(read_seconds=0.5, attempts=2)
        yield S3Registry(ObjectStore(s3_location(place), client), place / "other"), proxy


def attempt(work) -> bool:
    """Whether it succeeded; a failure must be a sentence."""
    try:
        work()
    except NormscapeError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "lasting"),
    [*((kind, False) for kind in KINDS), ("500", True), ("hang", True), ("flip", True)],
)
def test_registering_through_a_fault(
    sound: S3Registry, faulty: tuple[S3Registry, Proxy], make_bundle, kind: str, lasting: bool
) -> None:
    registry, proxy = faulty
    folder = make_bundle(size=500)
    sound.register(make_bundle(size=500), reason="before")
    registry.versions()
    first = "GET" if kind in {"truncate", "flip"} else "PUT"
    for where in (f"{first} .*/objects/", "PUT .*/versions/", "PUT .*/audit/"):
        known = sound.versions()
        proxy.faults = [Fault(kind, where, FOREVER if lasting else 1)]
        done = attempt(lambda: registry.register(folder, reason="faulty"))
        proxy.faults.clear()
        assert done or lasting or kind == "flip upload", where
        seen = sound.versions()
        assert len(seen) - len(known) in ({1} if done else {0, 1})
        for version in seen[len(known) :]:
            sound.verify(version)
        registered = [e.after for e in sound.history().entries if e.action == "register"]
        assert registered == seen
    assert sound.register(folder, reason="again") == f"v{len(seen) + 1:04d}"


@pytest.mark.parametrize("kind", KINDS)
def test_moving_production_through_a_fault(
    sound: S3Registry, faulty: tuple[S3Registry, Proxy], make_bundle, kind: str
) -> None:
    registry, proxy = faulty
    versions = [sound.register(make_bundle(size=500), reason="x") for _ in range(2)]
    sound.set_alias(PRODUCTION, versions[0], expected=None, reason="first")
    for lasting in (False, True):
        for where in ("PUT .*/aliases/", "GET .*/aliases/", "PUT .*/audit/"):
            before = sound.alias_state(PRODUCTION)
            assert before is not None
            to = next(version for version in versions if version != before.version)
            proxy.faults = [Fault(kind, where, FOREVER if lasting else 1)]
            done = attempt(
                lambda to=to, before=before, where=where: registry.set_alias(
                    PRODUCTION, to, expected=before, reason=f"{kind} at {where}"
                )
            )
            proxy.faults.clear()
            after = sound.alias_state(PRODUCTION)
            assert after in ((before.forward(to),) if done else (before, before.forward(to)))
            moves = [e for e in sound.history().entries if e.alias == PRODUCTION]
            assert [e.generation for e in moves] == list(range(1, after.generation + 1))
    rollback(sound, reason="it still works")


def test_a_lost_answer_is_no_lost_race(
    sound: S3Registry, faulty: tuple[S3Registry, Proxy], make_bundle
) -> None:
    registry, proxy = faulty
    proxy.faults = [Fault("lose", "PUT .*/versions/")]
    version = registry.register(make_bundle(size=500), reason="mine")
    assert sound.versions() == [version]
    proxy.faults = [Fault("lose", "PUT .*/aliases/")]
    state = registry.set_alias(PRODUCTION, version, expected=None, reason="mine")
    assert sound.alias_state(PRODUCTION) == state


@pytest.mark.parametrize("kind", ["500", "hang", "drop", "truncate", "flip"])
def test_loading_through_a_fault(
    sound: S3Registry, faulty: tuple[S3Registry, Proxy], make_bundle, kind: str
) -> None:
    registry, proxy = faulty
    folder = make_bundle(size=3_000_000)
    version = sound.register(folder, reason="x")
    proxy.faults = [Fault(kind, "GET .*/objects/", 2)]
    attempt(lambda: registry.get(version))
    proxy.faults = [Fault(kind, "GET .*/objects/", FOREVER)]
    attempt(lambda: registry.get(version))
    proxy.faults.clear()
    loaded = Bundle.load(registry.get(version))
    assert loaded.content_id == Bundle.load(folder).content_id


def test_a_changed_alias_never_passes_for_another_version(
    sound: S3Registry, faulty: tuple[S3Registry, Proxy], make_bundle
) -> None:
    registry, proxy = faulty
    version = sound.register(make_bundle(size=500), reason="x")
    sound.set_alias(PRODUCTION, version, expected=None, reason="x")
    proxy.faults = [Fault("flip", "GET .*/aliases/production")]
    with pytest.raises(NormscapeError, match="is damaged"):
        registry.alias(PRODUCTION)
    assert registry.alias(PRODUCTION) == version


def test_a_store_that_ignores_conditions_gets_no_registry(
    moto_environment, use_s3, place: Path, make_bundle
) -> None:
    use_s3(moto_environment)
    registry = STORES["moto"].open(place)

    def forget(params, **_) -> None:
        params.pop("IfNoneMatch", None)
        params.pop("IfMatch", None)

    registry.store.client.meta.events.register("provide-client-params.s3.PutObject", forget)
    with pytest.raises(StoreError, match="two writers would both win"):
        registry.register(make_bundle(), reason="x")
    with pytest.raises(StoreError, match="two writers would both win"):
        registry.collect(KeepRule(1, 0), reason="x")
    assert list(registry.store.list()) == []


def test_a_full_disk_leaves_no_half_copy(sound: S3Registry, make_bundle, place: Path) -> None:
    import os
    import resource

    folder = make_bundle(size=3_000_000)
    version = sound.register(folder, reason="x")

    def load() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            STORES["seaweedfs"].open(place).get(version)
        except NormscapeError as error:
            os._exit(7 if "cannot write" in str(error) else 1)

    process = fork.Process(target=load)
    process.start()
    process.join()
    assert process.exitcode == 7
    assert not list((place / "cache").glob("[0-9a-f]*"))
    assert Bundle.load(sound.get(version)).content_id == Bundle.load(folder).content_id


def test_a_full_disk_stops_a_local_registration(place: Path, make_bundle) -> None:
    import os
    import resource

    registry = STORES["local"].open(place)
    registry.register(make_bundle(size=500), reason="fits")
    folder = make_bundle(size=3_000_000)

    def register() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            STORES["local"].open(place).register(folder, reason="does not fit")
        except NormscapeError as error:
            os._exit(7 if "cannot write" in str(error) else 1)

    process = fork.Process(target=register)
    process.start()
    process.join()
    assert process.exitcode == 7
    assert registry.versions() == ["v0001"]
    assert not list((place / "versions").glob(".incoming-*"))
    assert registry.register(folder, reason="there is room again") == "v0002"


def test_a_read_only_cache_is_named(sound: S3Registry, make_bundle, tmp_path: Path) -> None:
    version = sound.register(make_bundle(size=500), reason="x")
    with read_only(tmp_path / "cache"):
        registry = S3Registry(sound.store, tmp_path / "cache")
        with pytest.raises(NormscapeError, match=r"cannot write .*cache"):
            registry.get(version)
