import shutil
from pathlib import Path

import pytest

from normscape.params import Params, load_params

from .project import make_project


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained") / "project"
    make_project(root)
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Params:
    """A copy of the trained checkout, to be changed."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    return load_params(root / "params.yaml")
