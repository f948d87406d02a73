"""Reading and writing on a condition, over moto and a real server; errors without secrets."""

import pytest

from normscape.errors import NormscapeError, UsageError
from normscape.storage.client import (
    MissingObjectError,
    PreconditionError,
    StoreError,
    connect,
)
from normscape.storage.conditions import PROBES, check_conditions
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET
from tests.faults import Fault, faulty_proxy


def quick(store: ObjectStore, **options) -> ObjectStore:
    """The same place through AWS_ENDPOINT_URL as it is now, by a client that gives up soon."""
    return ObjectStore(store.location, connect(read_seconds=1, **{"attempts": 2, **options}))


def test_what_is_written_is_read(store: ObjectStore) -> None:
    etag = store.put("a/b", b"content")
    assert store.get_bytes("a/b", limit=7) == (b"content", etag)
    head = store.head("a/b")
    assert head is not None
    assert (head.name, head.size, head.etag) == ("a/b", 7, etag)
    assert abs((store.now() - head.modified).total_seconds()) < 60
    store.remove(["a/b", "not/there"])
    assert store.head("a/b") is None
    with pytest.raises(MissingObjectError, match="a/b"):
        store.get_bytes("a/b", limit=7)


def test_more_than_is_wanted_is_refused(store: ObjectStore) -> None:
    store.put("a", b"content")
    with pytest.raises(UsageError, match="has 7 bytes; expected at most 6"):
        store.get_bytes("a", limit=6)


def test_a_list_goes_on_after_a_thousand(store: ObjectStore) -> None:
    from normscape.registry.s3_log import in_parallel

    names = [f"many/{number:04d}" for number in range(1005)]
    in_parallel(lambda name: store.put(name, b""), names)
    store.put("other", b"")
    assert [item.name for item in store.list("many/")] == names
    store.remove(names)
    assert [item.name for item in store.list()] == ["other"]


def test_only_the_first_of_two_claims_holds(store: ObjectStore) -> None:
    store.put("claim", b"first", only_new=True)
    with pytest.raises(PreconditionError):
        store.put("claim", b"second", only_new=True)
    assert store.get_bytes("claim", limit=9)[0] == b"first"


def test_a_swap_needs_the_state_it_was_decided_on(store: ObjectStore) -> None:
    old = store.put("alias", b"first")
    store.put("alias", b"second", replaces=old)
    for name in ("alias", "missing"):
        with pytest.raises(PreconditionError):
            store.put(name, b"third", replaces=old)
    assert store.get_bytes("alias", limit=9)[0] == b"second"
    assert store.head("missing") is None


def test_a_store_that_honours_conditions_is_accepted(store: ObjectStore) -> None:
    check_conditions(store)
    assert list(store.list(PROBES)) == []


@pytest.mark.parametrize("ignored", ["IfMatch", "IfNoneMatch"])
def test_a_store_that_ignores_conditions_is_refused(moto_store: ObjectStore, ignored: str) -> None:
    def forget(params, **_) -> None:
        params.pop(ignored, None)

    moto_store.client.meta.events.register("provide-client-params.s3.PutObject", forget)
    with pytest.raises(StoreError, match=r"ignores If-.*two writers would both win"):
        check_conditions(moto_store)
    assert list(moto_store.list(PROBES)) == []


@pytest.mark.slow
def test_a_claim_whose_answer_was_lost_is_known_as_ours(
    moto_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_proxy(moto_store.client.meta.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        store = quick(moto_store)
        proxy.faults = [Fault("lose", "PUT")]
        etag = store.put("claim", b"mine", only_new=True)
        proxy.faults = [Fault("lose", "PUT")]
        store.put("claim", b"mine too", replaces=etag)
        assert len([line for line in proxy.seen if line.startswith("PUT")]) == 4
    assert moto_store.get_bytes("claim", limit=9)[0] == b"mine too"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["500", "drop", "truncate"])
def test_a_passing_fault_is_not_noticed(
    moto_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    moto_store.put("a", b"content")
    with faulty_proxy(moto_store.client.meta.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.faults = [Fault(kind)]
        assert quick(moto_store).get_bytes("a", limit=7)[0] == b"content"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "told"),
    [("500", "failed with 500"), ("hang", "Read timeout"), ("drop", "cannot be used")],
)
def test_a_fault_that_stays_is_one_sentence(
    moto_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, kind: str, told: str
) -> None:
    with faulty_proxy(moto_store.client.meta.endpoint_url, hang_seconds=1.5) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.faults = [Fault(kind, times=99)]
        with pytest.raises(StoreError, match=told):
            quick(moto_store, attempts=1).get_bytes("a", limit=7)


@pytest.mark.slow
def test_a_changed_upload_is_refused_by_a_real_store(
    seaweedfs_environment, use_s3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(seaweedfs_environment)
    store = ObjectStore(S3Location(BUCKET, "storage"))
    with faulty_proxy(seaweedfs_environment["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.faults = [Fault("flip upload", "PUT", times=99)]
        with pytest.raises(StoreError):
            quick(store).put("changed", b"content")
    assert store.head("changed") is None


def test_the_bucket_is_named_when_it_is_missing(moto_store: ObjectStore) -> None:
    store = ObjectStore(S3Location("nobody-made-it", "x"))
    with pytest.raises(UsageError, match=r"s3://nobody-made-it/x.*no such bucket"):
        list(store.list())
    with pytest.raises(UsageError, match="no such bucket"):
        store.put("a", b"")


@pytest.mark.slow
def test_wrong_credentials_are_named_and_not_shown(
    seaweedfs_environment, use_s3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(seaweedfs_environment)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-right-one")
    store = ObjectStore(S3Location(BUCKET, "x"))
    with pytest.raises(StoreError, match="check the credentials") as caught:
        store.put("a", b"")
    secret = (seaweedfs_environment["AWS_ACCESS_KEY_ID"], "not-the-right-one")
    assert not any(word in str(caught.value) for word in secret)


def test_no_credentials_are_named(moto_store: ObjectStore, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match="no credentials"):
        quick(moto_store).put("a", b"")


def test_a_password_in_the_endpoint_is_never_shown(
    moto_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hunter2@127.0.0.1:9")
    with pytest.raises(NormscapeError) as caught:
        quick(moto_store, attempts=1).put("a", b"")
    assert "127.0.0.1:9" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_a_clock_that_is_wrong_is_named(
    seaweedfs_environment, use_s3, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    import botocore.auth

    real = botocore.auth.get_current_datetime
    use_s3(seaweedfs_environment)
    store = ObjectStore(S3Location(BUCKET, "x"))
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) - timedelta(days=1)
    )
    with pytest.raises(StoreError, match="set the clock"):
        store.put("a", b"")
