import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from normscape.cli.review import review_app
from normscape.errors import UsageError
from normscape.params import Params

from .conftest import PATTERN, Keep


@pytest.fixture
def options(params: Params) -> list[str]:
    path = params.root / "params.yaml"
    content = {"manifest": {"group_pattern": PATTERN}, "review": {"test_percent": 0}}
    path.write_text(yaml.safe_dump(content))
    return ["--params", str(path)]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(review_app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_show_approve(params: Params, keep: Keep, options: list[str]) -> None:
    record = keep()
    digits = record.sha256[:12]
    assert digits in run("list", *options)
    listed = json.loads(run("list", "--json", *options))
    assert listed[0]["sha256"] == record.sha256
    assert f"source:         {record.source}" in run("show", digits, *options)
    assert json.loads(run("show", digits, "--json", *options))["status"] == "waiting"
    output = run("approve", digits, *options)
    assert f"{digits} approved → data/grass/train/good/grass-r7-01" in output
    assert "1 of 1 images changed" in output
    assert "run `dvc add data`" in output
    output = run("approve", digits, *options)
    assert "0 of 1 images changed" in output
    assert "dvc add" not in output
    assert "approved  " in run("show", digits, *options)
    assert "0 images" in run("list", *options)
    assert digits in run("list", "--status", "approved", *options)


def test_bulk_verdicts_take_what_waits_and_fits(
    params: Params, keep: Keep, options: list[str]
) -> None:
    for number in range(3):
        keep(f"{number}.png", reasons=("unknown",))
    keep("other.png", reasons=("unknown",), day="2026-03-15")
    keep("random.png", reasons=("random",))
    bulk = ("--day", "2026-03-14", "--reason", "unknown", "--all")
    assert "3 of 3 images changed" in run("approve", *bulk, *options)
    assert "2 images" in run("list", *options)
    with pytest.raises(UsageError, match="no waiting image fits"):
        run("approve", *bulk, *options)


def test_the_other_verdicts(params: Params, keep: Keep, options: list[str]) -> None:
    bad, alarm = keep("bad.png"), keep("alarm.png")
    missed = keep("missed.png", reasons=("random",))
    run("reject", bad.sha256[:8], "--defect-type", "stain", "--category", "brick", *options)
    assert "dvc add" not in run("false-alarm", alarm.sha256[:8], *options)
    run("missed-defect", missed.sha256[:8], "--defect-type", "scratch", *options)
    assert [path.name for path in (params.data / "brick/test").iterdir()] == ["stain"]
    assert [path.name for path in (params.data / "grass/test").iterdir()] == ["scratch"]
    run("approve", bad.sha256[:8], "--change", *options)
    assert not list((params.data / "brick/test/stain").iterdir())


def test_images_are_named_by_ids_or_by_all(keep: Keep, options: list[str]) -> None:
    digits = keep().sha256[:8]
    for arguments in ((), (digits, "--all")):
        with pytest.raises(UsageError, match="by their ids, or all"):
            run("approve", *arguments, *options)


def test_the_command_line_starts_fast() -> None:
    import subprocess
    import sys

    script = "import sys, normscape.cli.review; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_module_stays_in_the_checkout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"params\.yaml is missing"):
        run("list", "--params", str(tmp_path / "params.yaml"))


def test_a_name_cannot_steer_the_terminal(params: Params, keep: Keep, options: list[str]) -> None:
    record = keep()
    path = params.state / "inbox" / record.sha256 / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "a\x1b[2J.png"}))
    for output in (run("list", *options), run("show", record.sha256[:12], *options)):
        assert "a\\x1b[2J.png" in output
