"""The history that `make monitor-ui` shows: Evidently's project, one run a day and version.

`evidently.ui.workspace.Workspace` reads all earlier runs when it is opened, which a monitor that
runs for years cannot afford. So runs are written where it keeps them, under names of our own, and
whole or not at all: the UI refuses a workspace with half a run.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from normscape.files import atomic_path

PROJECT = "Normscape"


def keep(run: Any, workspace: Path, day: str, version: str) -> None:
    """Add a run; it replaces an earlier one of the same day and version.

    Args:
        run: Evidently's, of a report.
        workspace: Evidently's workspace folder; made when missing.
        day: YYYY-MM-DD.
        version: Of the model.
    """
    project = _project(workspace) or _new_project(workspace)
    content = run.to_snapshot_model().dict()
    _write(workspace / project / "snapshots" / f"{run_id(day, version)}.json", content)


def run_id(day: str, version: str) -> str:
    """The name of a run: a UUID whose first eight digits are its day, so that it can be pruned."""
    return day.replace("-", "") + str(uuid.uuid5(uuid.NAMESPACE_OID, version))[8:]


def _project(workspace: Path) -> str | None:
    from evidently.ui.storage.local.base import PROJECT_FILE_NAME

    for path in sorted(workspace.glob(f"*/{PROJECT_FILE_NAME}")):
        if json.loads(path.read_text(encoding="utf-8"))["name"] == PROJECT:
            return path.parent.name
    return None


def _new_project(workspace: Path) -> str:
    from evidently.sdk.models import ProjectModel
    from evidently.ui.storage.local.base import PROJECT_FILE_NAME

    project = ProjectModel(name=PROJECT)
    _write(workspace / str(project.id) / PROJECT_FILE_NAME, project.dict())
    return str(project.id)


def _write(path: Path, content: Any) -> None:
    from evidently.legacy.utils import NumpyEncoder

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, cls=NumpyEncoder))
