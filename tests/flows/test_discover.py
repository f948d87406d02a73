"""The flow that sorts the inbox: catalogue, page and events, without a server."""

import shutil
from pathlib import Path

import pytest

from monitoring.defects import defects_page
from normscape.alerts import AlertStore, Kind
from normscape.discovery.store import CatalogueStore
from normscape.params import load_params
from normscape.scoring.run import score_place
from tests.flows.support import run_flow
from tests.unit.scoring.project import DAY, picture, trained_once

pytestmark = pytest.mark.slow


def test_flagged_images_become_a_catalogue_a_page_and_events(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path / "project"
    shutil.copytree(trained_once(tmp_path_factory.getbasetemp()), root)
    params = load_params(root / "params.yaml")
    folder = root / "feed" / DAY
    for number in range(8):
        picture(folder / "bolt" / f"{number}.png", 7000 + number, "bolt", defect=True)
    score_place(folder, params, progress=False)

    done = run_flow(root, "", "discover")

    assert done.returncode == 0, done.stdout + done.stderr
    catalogue = CatalogueStore.of(params).require("bolt")
    assert catalogue.living
    assert defects_page(params).read_text().count("data:image/jpeg") == len(catalogue.members)
    raised = [one for one in AlertStore.of(params).sound() if one.kind is Kind.DEFECT_TYPE]
    assert len(raised) == len(catalogue.living)
    assert all(one.notices[0].deliveries["event"].done_at for one in raised)
