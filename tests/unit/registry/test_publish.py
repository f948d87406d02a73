"""Gate, bundle, register, promote: in one go, and on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from normscape.cli.models import models_app
from normscape.errors import BusyError, GateError, NormscapeError, UsageError
from normscape.files import exclusive_lock
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION
from normscape.registry.publish import publish
from normscape.registry.store import open_registry

from .project import make_project


@pytest.fixture
def project(tmp_path: Path) -> Params:
    return make_project(tmp_path / "project")


@pytest.fixture
def weak(tmp_path: Path) -> Params:
    return make_project(tmp_path / "project", auroc=0.6)


def call(params: Params, *arguments: str, error: type[NormscapeError] | None = None) -> str:
    """Run `normscape models …`; the text it printed."""
    command = [*arguments, "--params", str(params.root / "params.yaml")]
    result = CliRunner().invoke(models_app, command)
    if error is None:
        assert result.exception is None, result.exception
    else:
        assert isinstance(result.exception, error), result.exception
    return result.stdout


def call_json(params: Params, *arguments: str, **expected: Any) -> Any:
    return json.loads(call(params, *arguments, "--json", **expected))


def test_a_good_first_model_goes_to_production(project: Params) -> None:
    result = publish(project, reason="first")
    assert (result.version, result.promoted, result.champion) == ("v0001", True, None)
    assert result.refusal is None
    registry = open_registry(project)
    assert registry.alias(PRODUCTION) == "v0001"
    assert Bundle.load(registry.get(PRODUCTION)).gate == result.decision
    assert not (project.state / "publish").exists()


def test_a_weak_model_is_registered_with_its_decision_and_not_promoted(weak: Params) -> None:
    result = publish(weak, reason="weak")
    assert not result.promoted
    assert result.refusal is not None
    assert "mean image AUROC is 0.6000" in result.refusal
    assert "missed by 0.1000" in result.refusal
    registry = open_registry(weak)
    assert registry.versions() == ["v0001"]
    assert registry.aliases() == {}
    assert not Bundle.load(registry.get("v0001")).gate.passed


def test_a_dirty_checkout_trains_but_does_not_promote(project: Params) -> None:
    (project.root / "data.dvc").write_text("outs:\n- md5: ffff.dir\n  path: data\n")
    result = publish(project, reason="dirty")
    assert not result.promoted
    assert result.refusal is not None
    assert "data.dvc" in result.refusal
    assert open_registry(project).aliases() == {}
    assert publish(project, reason="a demonstration", allow_dirty=True).promoted


def test_promotion_can_wait(project: Params) -> None:
    result = publish(project, reason="look first", promote=False)
    assert not result.promoted
    assert result.refusal is None
    assert open_registry(project).aliases() == {}


def test_whatever_fails_leaves_the_registry_as_it_was(project: Params) -> None:
    (project.artifacts / "detector" / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"model\.safetensors is missing"):
        publish(project, reason="incomplete")
    assert open_registry(project).versions() == []
    assert not (project.state / "publish").exists()


def test_two_at_once_from_one_checkout_are_refused(project: Params) -> None:
    with (
        exclusive_lock(project.state / "locks" / "publish.lock", "publishing"),
        pytest.raises(BusyError, match="publishing is already running"),
    ):
        publish(project, reason="second")


def test_the_registry_can_be_elsewhere(tmp_path: Path) -> None:
    params = make_project(tmp_path / "project")
    elsewhere = params.registry.model_copy(update={"root": Path("../models")})
    publish(params.model_copy(update={"registry": elsewhere}), reason="first")
    assert (tmp_path / "models" / "versions" / "v0001").is_dir()


def test_an_empty_registry_on_the_command_line(project: Params) -> None:
    assert "no version yet" in call(project, "list")
    assert call_json(project, "list") == []
    assert "nothing has happened yet" in call(project, "history")
    call(project, "show", error=UsageError)
    call(project, "rollback", "--reason", "panic", error=UsageError)


def test_the_life_of_a_version_on_the_command_line(project: Params) -> None:
    published = call_json(project, "publish", "--reason", "first", "--no-promote")
    assert published["version"] == "v0001"
    assert published["decision"]["passed"]
    assert published["explanation"][0].startswith("mean image AUROC is 0.9000")
    call(project, "publish", "--no-promote")
    assert "production: nothing -> v0001" in call(project, "promote", "v0001", "--reason", "ok")
    assert "production: v0001 -> v0002" in call(project, "promote", "v0002", "--reason", "new")
    rows = call_json(project, "list")
    assert [(row["version"], row["aliases"]) for row in rows] == [
        ("v0001", ["previous"]),
        ("v0002", ["production"]),
    ]
    assert rows[0]["categories"] == ["bolt", "nut"]
    assert rows[0]["data"] == "0123abcd.dir"
    assert "production: v0002 -> v0001" in call(project, "rollback", "--reason", "false alarms")
    log = call_json(project, "history")
    assert [entry["action"] for entry in log["entries"]] == [
        "register", "register", "set", "set", "rollback",
    ]  # fmt: skip
    assert "false alarms" in call(project, "history")
    assert "production" in call(project, "list")


def test_show_prints_the_figures_and_the_reasons(project: Params) -> None:
    call(project, "publish")
    text = call(project, "show", "v0001")
    assert "v0001" in text
    assert "kept with 0.2000 to spare" in text
    shown = call_json(project, "show")
    assert shown["aliases"] == ["production"]
    assert shown["metrics"]["mean"]["image_auroc"] == 0.9
    assert shown["champion"] is None


def test_a_failed_gate_ends_the_command_with_its_reasons(weak: Params) -> None:
    printed = call(weak, "publish", error=GateError)
    assert "missed by 0.1000" in printed
    assert "v0001 registered" in printed
    call(weak, "publish", "--no-promote", error=GateError)
    call(weak, "promote", "v0001", "--reason", "I insist", error=GateError)


def test_verify_names_the_damaged_version(project: Params) -> None:
    call(project, "publish", "--no-promote")
    call(project, "publish", "--no-promote")
    assert call_json(project, "verify") == {"v0001": None, "v0002": None}
    path = open_registry(project).get("v0002") / "metrics.json"
    path.chmod(0o644)
    path.write_text("{}")
    results = call_json(project, "verify", error=NormscapeError)
    assert results["v0001"] is None
    assert "metrics.json is damaged" in results["v0002"]
    assert "v0001: good" in call(project, "verify", "v0001")
    path.parent.chmod(0o755)
    path.unlink()
    assert "damaged" in call(project, "list")


def test_collected_versions_are_named_on_the_command_line(project: Params) -> None:
    for _ in range(3):
        call(project, "publish", "--no-promote")
    rule = ("--keep", "1", "--older-than", "0")
    assert "would remove v0001, v0002, 0." in call(project, "gc", *rule, "--dry-run")
    assert "removed no version" in call(project, "gc")  # params.yaml keeps ten
    assert call_json(project, "gc", *rule, "--reason", "room")["versions"] == ["v0001", "v0002"]
    rows = call_json(project, "list")
    assert [row["version"] for row in rows] == ["v0001", "v0002", "v0003"]
    assert "room" in rows[0]["collected"]
    assert rows[2]["collected"] is None
    assert "(collected)" in call(project, "list")
    assert "room" in call(project, "show", "v0001")
    assert call_json(project, "show", "v0001")["mean"]["image_auroc"] == 0.9
    assert call_json(project, "verify") == {"v0003": None}
    call(project, "promote", "v0001", "--reason", "too late", error=UsageError)
