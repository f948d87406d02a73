"""A product that the model does not know, from the feed to the alert to the data folder."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from monitoring.watch import watch
from normscape.alerts import Kind
from normscape.cli.main import app
from normscape.novelty import Source
from normscape.params import Params, load_params
from normscape.scoring import log
from normscape.scoring.paths import score_log
from normscape.scoring.run import score_place
from tests.unit.scoring.project import DAY, picture, trained_once

pytestmark = pytest.mark.slow

NEW = 14


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Params]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shutil.copytree(trained_once(tmp_path_factory.getbasetemp()), tmp_path / "project")
    yield load_params(tmp_path / "project" / "params.yaml")
    torch.set_num_threads(threads)


def feed(root: Path, *, new: int, defective: int) -> Path:
    """Undeclared images: of known products, defective ones among them, and of a new one."""
    folder = root / "feed" / DAY
    for number in range(10):
        picture(folder / f"nut{number}.png", 7000 + number, "nut")
    for number in range(defective):
        picture(folder / f"bad{number}.png", 7100 + number, "bolt", defect=True)
    for number in range(new):
        picture(folder / f"new{number}.png", 7200 + number, "washer")
    return folder


def test_a_new_product_is_found_and_its_command_adds_it(project: Params) -> None:
    score_place(feed(project.root, new=NEW, defective=4), project, progress=False)
    run = watch(project, DAY)
    (group,) = run.unknown.unknown
    assert group.source is Source.UNDECLARED
    assert sum(Path(path).stem.startswith("new") for path in group.paths) >= 12
    assert sum(share for _, share in group.nearest) == pytest.approx(1.0)
    (alert,) = [each for each in run.alerts if each.kind is Kind.UNKNOWN]
    assert {each["category"] for each in alert.figures["nearest"]} <= {"bolt", "nut"}
    page = (run.folder / "report.html").read_text()
    command = group.command(DAY)
    assert command is not None
    assert command in page
    assert "Most like" in page
    assert page.count("data:image/jpeg") >= 12
    assert json.loads((run.folder / "verdicts.json").read_text())["products"][0]["nearest"]

    asked = command.replace("NEW_NAME", "washer").split()[1:]
    done = CliRunner().invoke(app, [*asked, "--params", str(project.root / "params.yaml")])
    assert done.exit_code == 0, done.output
    added = list((project.root / "data" / "washer").rglob("*.png"))
    assert len(added) == len(group.hashes)


def test_a_few_defects_of_a_known_product_are_none(project: Params) -> None:
    score_place(feed(project.root, new=0, defective=6), project, progress=False)
    assert not watch(project, DAY).unknown.unknown


def test_the_scorer_logs_the_p_values_of_the_calibration(project: Params) -> None:
    score_place(feed(project.root, new=2, defective=0), project, progress=False)
    rows = log.read(score_log(project), days=[DAY])
    new = rows["path"].str.contains("new")
    assert rows.loc[new, "category_p_value"].max() < rows.loc[~new, "category_p_value"].median()
