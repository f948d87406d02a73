"""The flows are run from the checkout's root and are not installed; their tests import them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.support import make_project, server


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout that each test gets a copy of, its manifest made already."""
    folder = tmp_path_factory.mktemp("template")
    make_project(folder / "project", folder / "home")
    return folder / "project"


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A tiny checkout under Git and DVC, with generated images and their manifest."""
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prefect server for the session."""
    with server(tmp_path_factory.mktemp("prefect")) as url:
        yield url
