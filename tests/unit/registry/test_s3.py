"""What only the registry in S3 has: objects, copies, thousands of versions, an address."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from normscape.cli.models import models_app
from normscape.errors import NormscapeError, UsageError
from normscape.params import load_params
from normscape.registry.audit import new_entry
from normscape.registry.bundle import Bundle, BundleError
from normscape.registry.contract import PRODUCTION
from normscape.registry.documents import VersionDocument
from normscape.registry.promotion import rollback
from normscape.registry.publish import publish
from normscape.registry.s3 import S3Registry, object_name
from normscape.registry.s3_log import in_parallel
from normscape.registry.store import open_registry

from .conftest import STORES, s3_location
from .project import make_project
from .racing import fork

VERSIONS = 1100

pytestmark = pytest.mark.slow


@pytest.fixture
def s3(s3_store, place) -> S3Registry:
    return s3_store.open(place)


def test_the_same_content_is_kept_once(s3: S3Registry, make_bundle) -> None:
    folder = make_bundle()
    for _ in range(2):
        s3.register(folder, reason="x")
    objects = list(s3.store.list("objects/"))
    assert {item.name for item in objects} == {
        object_name(sha) for sha in s3.document("v0001").objects
    }


def test_a_damaged_object_heals_when_its_content_is_registered_again(
    s3: S3Registry, s3_store, place, make_bundle
) -> None:
    folder = make_bundle()
    version = s3.register(folder, reason="x")
    s3_store.damage(place, version)
    with pytest.raises(BundleError, match=r"model\.safetensors of v0001: .* is damaged"):
        s3.verify(version)
    with pytest.raises(BundleError, match=r"model\.safetensors of v0001"):
        s3.get(version)
    s3.register(folder, reason="again")
    s3.verify(version)


def test_a_damaged_or_short_copy_is_made_anew(s3: S3Registry, make_bundle) -> None:
    version = s3.register(make_bundle(), reason="x")
    folder = s3.get(version)
    content = Bundle.load(folder).content_id
    path = folder / "model.safetensors"
    for change in (lambda: path.write_bytes(b"x" * 2000), path.unlink):
        path.chmod(0o644)
        change()
        assert s3.get(version) == folder
        assert Bundle.load(folder).content_id == content


def test_a_missing_object_is_named(s3: S3Registry, make_bundle) -> None:
    version = s3.register(make_bundle(), reason="x")
    file = s3.document(version).files["model.safetensors"]
    s3.store.remove([object_name(file.sha256)])
    for load in (s3.get, s3.verify):
        with pytest.raises(BundleError, match=r"model\.safetensors of v0001 is missing"):
            load(version)


def test_many_processes_load_the_same_version(s3: S3Registry, s3_store, place, make_bundle) -> None:
    version = s3.register(make_bundle(size=5_000_000), reason="x")
    content = s3.document(version).content_id

    def load() -> None:
        folder = s3_store.open(place).get(version)
        Bundle.load(folder)
        assert folder.name == content[:32]

    processes = [fork.Process(target=load) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_document_under_another_name_is_refused(s3: S3Registry, make_bundle) -> None:
    s3.register(make_bundle(), reason="x")
    content, _ = s3.store.get_bytes("versions/v0001.json", limit=1 << 20)
    s3.store.put("versions/v0002.json", content)
    with pytest.raises(NormscapeError, match=r"v0002\.json is the document of v0001"):
        s3.get("v0002")


def test_objects_that_are_no_versions_do_not_matter(s3: S3Registry, make_bundle) -> None:
    for name in ("versions/readme.txt", "versions/v1.json", "audit/readme", "versions/v0009"):
        s3.store.put(name, b"by hand")
    s3.store.put("versions/deeper/v0003.json", b"by hand")
    assert s3.versions() == ["v0009"]  # it takes a number, and tables say what is wrong with it
    assert s3.summaries()[0].problem is not None
    assert s3.register(make_bundle(), reason="x") == "v0010"


def test_more_than_a_thousand_versions(seaweedfs_environment, use_s3, place, make_bundle) -> None:
    use_s3(seaweedfs_environment)
    s3 = STORES["seaweedfs"].open(place)
    first = s3.register(make_bundle(), reason="x")
    document = s3.document(first)

    def claim(count: int) -> None:
        entry = new_entry("register", f"v{count:04d}", f"number {count}")
        content = VersionDocument(document.files, document.figures, entry)
        s3.store.put(f"versions/{entry.after}.json", content.encode())

    in_parallel(claim, range(2, VERSIONS + 1))
    assert s3.versions() == [f"v{count:04d}" for count in range(1, VERSIONS + 1)]
    assert s3.register(make_bundle(), reason="the next") == f"v{VERSIONS + 1:04d}"
    assert len(s3.summaries()) == VERSIONS + 1
    history = s3.history()
    assert [e.after for e in history.entries if e.action == "register"] == s3.versions()
    with pytest.raises(UsageError, match=r"has …, v1092, .*v1101$"):
        s3.get("v9999")


def test_a_rollback_takes_less_than_five_seconds(s3: S3Registry, make_bundle) -> None:
    state = None
    for _ in range(2):
        version = s3.register(make_bundle(size=20_000_000), reason="x")
        state = s3.set_alias(PRODUCTION, version, expected=state, reason="x")
    start = time.monotonic()
    rollback(s3, reason="false alarms")
    assert time.monotonic() - start < 5
    assert s3.alias(PRODUCTION) == "v0001"


def test_publishing_and_the_command_line(
    seaweedfs_environment, use_s3, tmp_path: Path, place: Path
) -> None:
    use_s3(seaweedfs_environment)
    project = make_project(tmp_path / "project")
    path = project.root / "params.yaml"
    path.write_text(path.read_text() + f"registry: {{root: '{s3_location(place)}'}}\n")
    params = load_params(path)

    def call(*arguments: str):
        result = CliRunner().invoke(models_app, [*arguments, "--params", str(path)])
        assert result.exception is None, result.exception
        return result.stdout

    versions = [publish(params, reason="x", promote=False).version for _ in range(3)]
    for version in versions:
        call("promote", version, "--reason", "x", "--allow-dirty")
    registry = open_registry(params)
    assert isinstance(registry, S3Registry)
    assert registry.aliases() == {"production": "v0003", "previous": "v0002"}
    rows = json.loads(call("list", "--json"))
    assert [row["version"] for row in rows] == ["v0001", "v0002", "v0003"]
    assert rows[2]["mean"]["image_auroc"] == 0.9
    assert json.loads(call("show", "--json"))["version"] == "v0003"
    assert json.loads(call("verify", "--json")) == dict.fromkeys(registry.versions())
    assert "production: v0003 -> v0002" in call("rollback", "--reason", "x")
    planned = json.loads(call("gc", "--keep", "1", "--older-than", "0", "--dry-run", "--json"))
    assert planned["versions"] == []  # the newest, what is in production, and where it came from
    assert "removed no version" in call("gc")
    assert "rollback" in call("history")


@pytest.mark.parametrize("root", ["s3://", "s3://Models/x", "s3://models/../x", "s3://models//x"])
def test_a_malformed_address_is_refused_at_once(tmp_path: Path, root: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"registry: {{root: '{root}'}}\n")
    with pytest.raises(UsageError, match=r"'registry\.root\.?.*expected s3://bucket/prefix"):
        load_params(path)
