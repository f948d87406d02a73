"""A project with a small data folder and an inbox."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normscape.params import Params
from normscape.scoring.inbox import Inbox
from normscape.scoring.record import Record
from normscape.sections.data import ManifestParams
from normscape.sections.production import ReviewParams

Keep = Callable[..., Record]
PATTERN = r"^(?P<group>.+-r\d+)-"


@pytest.fixture
def params(tmp_path: Path) -> Params:
    for number in range(3):
        path = tmp_path / f"data/brick/train/good/brick-r{number}-00.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"train {number}".encode())
    return Params(
        root=tmp_path,
        manifest=ManifestParams(group_pattern=PATTERN),
        review=ReviewParams(test_percent=0),
    )


@pytest.fixture
def keep(params: Params) -> Keep:
    """Put an image into the inbox; its content is its name unless it is given."""

    def put(name: str = "grass-r7-01.png", content: bytes | None = None, **changes: Any) -> Record:
        source = params.root / "feed" / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(name.encode() if content is None else content)
        values: dict[str, Any] = {
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "source": f"feed/{name}", "day": "2026-03-14", "reasons": ("flagged",),
            "declared": "grass", "predicted": "brick", "score": 2.0, "p_value": 0.01,
            "threshold": 1.5, "model_version": "v0001",
        }  # fmt: skip
        record = Record(**(values | changes))
        Inbox.of(params).keep(record, source)
        return Inbox.of(params).find(record.sha256)

    return put
