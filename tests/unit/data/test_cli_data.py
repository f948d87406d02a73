import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from normscape.cli.data import data_app
from normscape.errors import DataError

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path) -> Path:
    for name in ("params.yaml", "data.dvc"):
        shutil.copyfile(CHECKOUT / name, tmp_path / name)
    return tmp_path


def call(project: Path, *arguments: str):
    arguments = (*arguments, "--params", str(project / "params.yaml"))
    return CliRunner().invoke(data_app, arguments)


@pytest.mark.slow
def test_the_demo_is_made_once_and_then_found_equal(project):
    pytest.importorskip("elpv_dataset", reason="the extra 'demo' is not installed")
    made = call(project, "demo")
    assert made.exit_code == 0
    assert "data/ made, equal to data.dvc: " in made.output
    assert "CC BY-NC-SA 4.0" in made.output
    assert "already there" in call(project, "demo").output
    assert "data/ equals data.dvc: " in call(project, "check").output

    (project / "data" / "own.png").write_bytes(b"mine")
    for verb in ("demo", "check"):
        refused = call(project, verb)
        assert isinstance(refused.exception, DataError)
        assert refused.exception.exit_code == 1
    assert call(project, "demo", "--force").exit_code == 0
    assert not (project / "data" / "own.png").exists()


def test_without_a_pin_nothing_is_made(project):
    (project / "data.dvc").unlink()
    refused = call(project, "demo")
    assert isinstance(refused.exception, DataError)
    assert "git checkout data.dvc" in str(refused.exception)
    assert not (project / "data").exists()
